package fleet

import (
	"time"

	"golang.org/x/sys/unix"
)

// CanShare reports whether this system has a clock that a shared seat can rely on.
const CanShare = true

// clock returns the time since the machine started. Unlike Go's monotonic clock it runs on while the machine sleeps.
func clock() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 1<<63 - 1 // every lease is over
	}
	return time.Duration(now.Nano())
}
