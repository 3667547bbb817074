//go:build unix

package backend

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/cmd/sallyport/shepherd"
)

const hasFlowControl = true

var (
	errInUse         = errors.New("another program has it for itself")
	errNoFlowControl = errors.New("it has no RTS and CTS")
	errHungUp        = errors.New("it has hung up")
)

// line is an open serial device. Bytes go through file, because nothing interrupts a Write of the library's port. The
// port is for the settings.
type line struct {
	device *serialDevice
	file   *os.File
	port   serial.Port

	closing sync.Once
	ended   chan struct{} // closed when Close begins
	mu      sync.Mutex    // guards what follows, and port
	mode    serial.Mode
	reset   bool
	err     error // of Close
}

// openLine opens the device for this process alone. The library sets TIOCEXCL, which keeps all but root out, and
// flock(2) keeps out programs that look for it.
func (d *serialDevice) openLine() (*line, error) {
	if info, err := os.Stat(d.path); err == nil && info.Mode()&os.ModeCharDevice == 0 {
		return nil, d.notSerial()
	}
	fd, err := unix.Open(d.path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
	case unix.EBUSY:
		return nil, errInUse
	case unix.ENXIO, unix.ENODEV, unix.EIO: // the adapter is on its way out
		return nil, errors.Join(os.ErrNotExist, err)
	default:
		return nil, err
	}
	l := &line{device: d, file: os.NewFile(uintptr(fd), d.path), mode: d.mode, ended: make(chan struct{})}
	if _, err = unix.IoctlGetInt(fd, unix.TIOCOUTQ); err != nil {
		err = d.notSerial()
	} else if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
		err = errInUse
	} else {
		err = l.configure()
	}
	if err != nil {
		_ = l.file.Close()
		return nil, err
	}
	return l, nil
}

func (d *serialDevice) notSerial() error {
	return usagef("--backend serial: %s is no serial device: look up its name with `ls -l /dev/serial/by-id`", d.path)
}

// configure opens the library's port and sets the line.
func (l *line) configure() (err error) {
	mode := l.mode
	if l.port, err = serial.Open(l.device.path, &mode); err != nil {
		if port, ok := errors.AsType[*serial.PortError](err); ok && port.Code() == serial.InvalidSerialPort {
			return l.device.refused(l.mode, err) // openLine has seen that it is a terminal
		}
		return err
	}
	if err = l.apply(l.mode); err != nil {
		_ = l.port.Close()
		return err
	}
	return l.port.ResetInputBuffer() // bytes from before the session are not for its user
}

// apply sets the line, and reads the speed back, because a device takes the nearest speed that it has.
func (l *line) apply(mode serial.Mode) error {
	if err := l.port.SetMode(&mode); err != nil {
		return l.device.refused(mode, err)
	}
	return control(l.file, func(fd int) error {
		speed, err := setFlowControl(fd, l.device.rtscts)
		if err != nil {
			return l.device.refused(mode, err)
		}
		if !near(speed, mode.BaudRate) {
			return l.device.refused(mode, fmt.Errorf("its nearest speed is %d", speed))
		}
		return nil
	})
}

// near reports whether two speeds differ by 4 % at most. With 5 % the last of ten bits is read at its edge.
func near(speed, wanted int) bool {
	return speed == unknownSpeed || max(speed-wanted, wanted-speed)*25 <= wanted
}

// unknownSpeed means that the system does not report the speed.
const unknownSpeed = 0

func (l *line) Read(p []byte) (int, error) {
	n, err := l.file.Read(p)
	return n, l.explain(err)
}

func (l *line) Write(p []byte) (int, error) {
	n, err := l.file.Write(p)
	return n, l.explain(err)
}

// explain returns os.ErrClosed after Close, and ErrVanished after a hangup. An end of the input is a hangup, and not of
// the carrier, because the library sets CLOCAL.
func (l *line) explain(err error) error {
	if err != nil && l.isClosed() {
		return os.ErrClosed
	}
	if errors.Is(err, io.EOF) {
		return l.device.vanished(errHungUp)
	}
	for _, gone := range []error{syscall.EIO, syscall.ENXIO, syscall.ENODEV} {
		if errors.Is(err, gone) {
			return l.device.vanished(gone)
		}
	}
	return err
}

// Break holds the line for 250 ms.
func (l *line) Break() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return os.ErrClosed
	}
	return l.port.Break(breakTime)
}

// SetLine changes speed and form until Close. If the device refuses them, it keeps the present ones.
func (l *line) SetLine(speed int, form string) error {
	mode, err := lineMode(speed, form)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return os.ErrClosed
	}
	if err := l.apply(mode); err != nil {
		return errors.Join(err, l.apply(l.mode))
	}
	l.mode = mode
	return nil
}

func (l *line) isClosed() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// Reset drops the bytes that were not sent or not read, and closes.
func (l *line) Reset() error {
	l.mu.Lock()
	l.reset = true
	l.mu.Unlock()
	return l.Close()
}

// Close waits until the device has taken all bytes, 5 s at most.
func (l *line) Close() error {
	l.closing.Do(func() {
		close(l.ended)
		_ = l.file.SetDeadline(past) // Read and Write return
		l.mu.Lock()
		defer l.mu.Unlock()
		for by := time.Now().Add(shepherd.KillAfter); !l.reset && l.unsent() > 0 && time.Now().Before(by); {
			time.Sleep(10 * time.Millisecond)
		}
		_ = l.port.ResetOutputBuffer() // which the kernel would wait for, 30 s
		_ = l.port.ResetInputBuffer()
		_ = l.port.Close()
		l.err = l.file.Close()
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// unsent returns how many bytes wait in the kernel.
func (l *line) unsent() (n int) {
	_ = control(l.file, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.TIOCOUTQ)
		return err
	})
	return n
}
