//go:build !unix

package tty

import "os"

// Changes returns a channel that gets no value, because this system has no signals for that.
func Changes() (changes <-chan os.Signal, stop func()) { return nil, func() {} }
