//go:build !linux && !darwin

package backend

import (
	"errors"
	"io"

	"github.com/sallyport/sallyport/cmd/sallyport/shepherd"
)

const hasPTY = false

func (c *command) openPTY(*shepherd.Command) (io.ReadWriteCloser, error) {
	return nil, errors.ErrUnsupported
}
