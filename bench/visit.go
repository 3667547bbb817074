package bench

import (
	"errors"
	"io"
	"runtime"
	"time"
)

// Visits are connections that are opened one after another. Only the opening is
// timed; the closing, and the goroutines that end by it, are waited for.
func Visits(open func() (io.Closer, error)) *Rig {
	return &Rig{Step: func() (time.Duration, error) {
		goroutines, start := runtime.NumGoroutine(), time.Now()
		c, err := open()
		took := time.Since(start)
		if c != nil {
			err = errors.Join(err, c.Close())
		}
		if err != nil {
			return 0, err
		}
		return took, settle(goroutines)
	}}
}
