//go:build !linux

package lease

import "time"

// slept returns zero: only Linux has a clock that Go's can be compared with.
func slept() time.Duration { return 0 }
