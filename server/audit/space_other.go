//go:build !(linux || darwin || freebsd)

package audit

import (
	"errors"
	"os"
)

// disk returns an error: on these systems the log does not watch the free space.
func disk(*os.File) (free, size int64, err error) { return 0, 0, errors.ErrUnsupported }
