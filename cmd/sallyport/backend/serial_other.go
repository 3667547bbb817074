//go:build !unix

package backend

import (
	"errors"

	"go.bug.st/serial"
)

const hasFlowControl = false

// errInUse is not used: this system opens a device for one program alone.
var errInUse = errors.New("locked")

// line is an open serial device.
type line struct {
	serial.Port
	device *serialDevice
}

func (d *serialDevice) openLine() (*line, error) {
	mode := d.mode
	port, err := serial.Open(d.path, &mode)
	if err != nil {
		return nil, err
	}
	return &line{port, d}, nil
}

func (l *line) Read(p []byte) (int, error) {
	n, err := l.Port.Read(p)
	return n, l.explain(err)
}

func (l *line) Write(p []byte) (int, error) {
	n, err := l.Port.Write(p)
	return n, l.explain(err)
}

// explain returns the error of a device that has vanished.
func (l *line) explain(err error) error {
	port, known := errors.AsType[*serial.PortError](err)
	if err == nil || known && port.Code() == serial.PortClosed {
		return err
	}
	return l.device.vanished(err)
}

// Break holds the line for 250 ms.
func (l *line) Break() error { return l.Port.Break(breakTime) }

// SetLine changes speed and form until Close.
func (l *line) SetLine(speed int, form string) error {
	mode, err := lineMode(speed, form)
	if err != nil {
		return err
	}
	return l.SetMode(&mode)
}

// Reset drops what was not sent, and closes.
func (l *line) Reset() error { return errors.Join(l.ResetOutputBuffer(), l.Close()) }
