package server

import (
	"time"

	"github.com/sallyport/sallyport/server/limits"
)

// Limits bound what clients can use, see package limits.
type Limits = limits.Limits

// after returns t + d, or the zero time, which means no deadline, if d is negative.
func after(t time.Time, d time.Duration) time.Time {
	if d < 0 {
		return time.Time{}
	}
	return t.Add(d)
}

// earlier returns the earlier of two deadlines. Zero means no deadline.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
