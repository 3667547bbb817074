package lease

import (
	"time"

	"golang.org/x/sys/unix"
)

// slept returns how long the machine has slept since it was started.
func slept() time.Duration {
	for {
		before, boot := read(unix.CLOCK_MONOTONIC), read(unix.CLOCK_BOOTTIME)
		// Between two readings the process may have been stopped.
		if read(unix.CLOCK_MONOTONIC)-before < time.Millisecond {
			return boot - before
		}
	}
}

func read(clock int32) time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(clock, &t)
	return time.Duration(t.Nano())
}
