//go:build !unix

package backend

import (
	"errors"
	"io"

	"github.com/sallyport/sallyport/cmd/sallyport/shepherd"
)

const hasShell = false

func (c *command) openPipes(*shepherd.Command) (io.ReadWriteCloser, error) {
	return nil, errors.ErrUnsupported
}
