package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.bug.st/serial"
)

// breakTime is how long Break is.
const breakTime = 250 * time.Millisecond

// maxSpeed is more than any device has.
const maxSpeed = 100_000_000

// ErrVanished means that a serial adapter was unplugged. Open succeeds when it is back.
var ErrVanished = errors.New("the serial device has vanished: plug it in again, and begin a new session")

// serialDevice is a serial device and the settings of its line.
type serialDevice struct {
	b      *Backend
	path   string
	mode   serial.Mode
	rtscts bool
	gone   atomic.Bool // it has vanished and was not opened since
}

const serialForm = "--backend serial:DEVICE,SPEED,FORM[,rtscts], as in serial:/dev/ttyUSB0,115200,8N1"

func parseSerial(b *Backend, rest string) (opener, error) {
	d := &serialDevice{b: b}
	if strings.HasSuffix(rest, ",xonxoff") {
		return nil, usagef("%s: xonxoff is not supported, because a binary stream may have these two bytes: leave it out, or use rtscts", serialForm)
	}
	rest, d.rtscts = strings.CutSuffix(rest, ",rtscts")
	parts := strings.Split(rest, ",")
	if len(parts) < 3 || parts[0] == "" {
		return nil, usagef("%s: not %q", serialForm, rest)
	}
	form, speed := parts[len(parts)-1], parts[len(parts)-2]
	d.path = strings.Join(parts[:len(parts)-2], ",") // a path may have commas
	baud, err := strconv.Atoi(speed)
	if err != nil {
		return nil, usagef("%s: the speed %q is no number", serialForm, speed)
	}
	if d.mode, err = lineMode(baud, form); err != nil {
		return nil, usagef("%s: %v", serialForm, err)
	}
	if d.rtscts && !hasFlowControl {
		return nil, usagef("--backend serial: this system has no rtscts here: leave it out")
	}
	return d, nil
}

// lineMode reads a speed and a form like 8N1: 5 to 8 data bits, the parity N, E, O, M or S, and 1 or 2 stop bits.
func lineMode(speed int, form string) (m serial.Mode, err error) {
	if speed < 1 || speed > maxSpeed {
		return m, fmt.Errorf("a speed is between 1 and %d, not %d", maxSpeed, speed)
	}
	if len(form) != 3 || form[0] < '5' || form[0] > '8' || !strings.Contains("NOEMS", form[1:2]) || form[2] != '1' && form[2] != '2' {
		return m, fmt.Errorf("a form is like 8N1: 5 to 8 data bits, the parity N, E, O, M or S, 1 or 2 stop bits; not %q", form)
	}
	m = serial.Mode{BaudRate: speed, DataBits: int(form[0] - '0'), Parity: serial.Parity(strings.Index("NOEMS", form[1:2]))}
	if form[2] == '2' {
		m.StopBits = serial.TwoStopBits
	}
	return m, nil
}

func (d *serialDevice) check(ctx context.Context) error { return checkByOpening(ctx, d) }

func (d *serialDevice) open(context.Context, Client) (io.ReadWriteCloser, error) {
	l, err := d.openLine()
	if err != nil {
		return nil, d.explain(err)
	}
	if d.gone.Swap(false) {
		d.b.log().Info("the serial device is back", "device", d.path)
	}
	return l, nil
}

// explain words an error of openLine, and says what to do.
func (d *serialDevice) explain(err error) error {
	if _, ok := errors.AsType[UsageError](err); ok {
		return err
	}
	code := serial.PortErrorCode(-1)
	if port, ok := errors.AsType[*serial.PortError](err); ok {
		code = port.Code()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) || code == serial.PortNotFound:
		return fmt.Errorf("there is no serial device %s: plug it in, or look up its name with `ls -l /dev/serial/by-id`", d.path)
	case errors.Is(err, fs.ErrPermission) || code == serial.PermissionDenied:
		return fmt.Errorf("the serial device %s may not be opened: add the server's user to its group, which is often dialout", d.path)
	case errors.Is(err, errInUse) || code == serial.PortBusy:
		return fmt.Errorf("the serial device %s is in use: end the program that `fuser -v %s` names", d.path, d.path)
	}
	return fmt.Errorf("the serial device %s can't be opened: %w", d.path, err)
}

// vanished returns the error of a device that is gone, and logs that once. It is never io.EOF, which would look like a
// good end.
func (d *serialDevice) vanished(why error) error {
	if !d.gone.Swap(true) {
		d.b.log().Warn("the serial device has vanished: plug it in again, the next session finds it", "device", d.path, "error", why)
	}
	return fmt.Errorf("%w (%s: %w)", ErrVanished, d.path, why)
}

// refused returns the error of a device that does not have a speed or a form.
func (d *serialDevice) refused(m serial.Mode, why error) error {
	return usagef("--backend serial: the device %s refuses %s (%v): choose another speed and form, which its manual lists", d.path, modeText(m), why)
}

func modeText(m serial.Mode) string { return fmt.Sprintf("%d,%s", m.BaudRate, formText(m)) }

func formText(m serial.Mode) string {
	stop := 1
	if m.StopBits == serial.TwoStopBits {
		stop = 2
	}
	return fmt.Sprintf("%d%c%d", m.DataBits, "NOEMS"[m.Parity], stop)
}
