//go:build unix

package tty

import (
	"os"
	"os/signal"
	"syscall"
)

// Changes returns a channel that gets a value when the terminal has another size, and when the process continues
// after a stop: the shell has set its own mode meanwhile. stop ends that.
func Changes() (changes <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH, syscall.SIGCONT)
	return c, func() { signal.Stop(c) }
}
