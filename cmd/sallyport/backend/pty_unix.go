//go:build linux || darwin

package backend

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/cmd/sallyport/shepherd"
)

const hasPTY = true

// The size of a terminal before SetWindow.
const columns, rows = 80, 24

// console is a command on a terminal.
type console struct{ *process }

// SetWindow changes the size of the terminal, and the command's foreground gets SIGWINCH.
func (c console) SetWindow(columns, rows int) error {
	if columns < 1 || rows < 1 || columns > math.MaxUint16 || rows > math.MaxUint16 {
		return errors.New("columns and rows are between 1 and 65535")
	}
	return control(c.out, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(columns), Row: uint16(rows)})
	})
}

// openPTY starts a command on a terminal of its own.
func (c *command) openPTY(cmd *shepherd.Command) (io.ReadWriteCloser, error) {
	ours, theirs, err := newTerminal()
	if err != nil {
		return nil, fmt.Errorf("no terminal is left: %w", err)
	}
	defer theirs.Close()
	p := console{&process{in: ours, out: ours}}
	if err = p.SetWindow(columns, rows); err == nil {
		err = p.start(c, cmd, theirs, theirs, theirs, nil)
	}
	if err != nil {
		_ = ours.Close()
		return nil, err
	}
	return p, nil
}

// newTerminal returns both ends of a terminal. Reads and writes of ours can be interrupted, unlike those of the library's.
func newTerminal() (ours, theirs *os.File, err error) {
	blocking, theirs, err := pty.Open()
	if err != nil {
		return nil, nil, err
	}
	defer blocking.Close()
	fd, err := unix.FcntlInt(blocking.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return os.NewFile(uintptr(fd), "terminal"), theirs, nil
}
