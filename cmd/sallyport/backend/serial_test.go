//go:build linux

package backend

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// adapter is a device that can be unplugged: a terminal behind a name.
type adapter struct {
	t    *testing.T
	name string
	far  *os.File // the other end of the cable
}

func newAdapter(t *testing.T) *adapter {
	a := &adapter{t: t, name: filepath.Join(t.TempDir(), "ttyUSB0")}
	a.plugIn()
	t.Cleanup(func() { _ = a.far.Close() })
	return a
}

func (a *adapter) plugIn() {
	a.t.Helper()
	far, near, err := pty.Open()
	if err != nil {
		a.t.Fatal(err)
	}
	a.far = far
	if err := errors.Join(os.Symlink(near.Name(), a.name), near.Close()); err != nil {
		a.t.Fatal(err)
	}
}

func (a *adapter) unplug() {
	a.t.Helper()
	if err := errors.Join(os.Remove(a.name), a.far.Close()); err != nil {
		a.t.Fatal(err)
	}
}

// settings returns the line settings, which both ends of a pty share.
func (a *adapter) settings() *unix.Termios {
	a.t.Helper()
	raw, err := a.far.SyscallConn()
	if err != nil {
		a.t.Fatal(err)
	}
	var termios *unix.Termios
	err = errors.Join(raw.Control(func(fd uintptr) { termios, err = unix.IoctlGetTermios(int(fd), unix.TCGETS2) }), err)
	if err != nil {
		a.t.Fatal(err)
	}
	return termios
}

func (a *adapter) backend(settings string) (*Backend, *bytes.Buffer) {
	a.t.Helper()
	b, err := Parse("serial:"+a.name+","+settings, Options{})
	if err != nil {
		a.t.Fatal(err)
	}
	log := &bytes.Buffer{}
	b.Log = slog.New(slog.NewTextHandler(log, nil))
	return b, log
}

// open opens a backend, which is closed with the test.
func open(t *testing.T, b *Backend) io.ReadWriteCloser {
	t.Helper()
	stream, err := b.Open(t.Context(), Client{User: "alice", Conn: "C-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stream.Close() })
	return stream
}

// expect reads exactly this text.
func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

func TestSerialPassesEachByteUnchanged(t *testing.T) {
	a := newAdapter(t)
	b, _ := a.backend("115200,8N1")
	stream := open(t, b)
	var all strings.Builder
	for c := range 256 {
		all.WriteByte(byte(c))
	}
	write(t, stream, all.String())
	expect(t, a.far, all.String())
	write(t, a.far, all.String())
	expect(t, stream, all.String())
	if err := errors.Join(stream.(interface{ Break() error }).Break(), stream.Close()); err != nil {
		t.Error(err)
	}
}

func TestSerialIsForOneProgram(t *testing.T) {
	a := newAdapter(t)
	b, _ := a.backend("115200,8N1")
	open(t, b)
	_, err := b.Open(t.Context(), Client{User: "bob", Conn: "C-2"})
	if err == nil || !strings.Contains(err.Error(), "is in use: end the program that `fuser -v ") {
		t.Errorf("a second open: %v", err)
	}
	if os.Geteuid() != 0 {
		if other, err := os.OpenFile(a.name, os.O_RDWR|syscall.O_NOCTTY, 0); !errors.Is(err, syscall.EBUSY) {
			t.Errorf("another program opens it: %v, %v", other, err)
		}
		return
	}
	device, err := os.OpenFile(a.name, os.O_RDWR|syscall.O_NOCTTY, 0) // root may
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	if exclusive, err := unix.IoctlGetInt(int(device.Fd()), unix.TIOCGEXCL); err != nil || exclusive != 1 {
		t.Errorf("TIOCGEXCL: %d, %v", exclusive, err)
	}
	if err := syscall.Flock(int(device.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("flock: %v", err)
	}
}

func TestSerialLineIsForOneSession(t *testing.T) {
	a := newAdapter(t)
	b, _ := a.backend("9600,8O2,rtscts")
	type settings struct {
		speed uint32
		form  uint32
	}
	// A pty has 8 bits and no parity, but keeps which parity it would be.
	const configured = unix.PARODD | unix.CSTOPB | unix.CRTSCTS
	is := func(when string, want settings) {
		t.Helper()
		termios := a.settings()
		got := settings{termios.Ospeed, termios.Cflag & (unix.PARODD | unix.CSTOPB | unix.CRTSCTS)}
		if got != want {
			t.Errorf("%s: %+v, want %+v", when, got, want)
		}
	}
	first := open(t, b)
	is("as configured", settings{9600, configured})
	line := first.(interface {
		SetLine(speed int, form string) error
	})
	if err := line.SetLine(250000, "8E1"); err != nil {
		t.Fatal(err)
	}
	is("after LINE, of a speed without a constant", settings{250000, unix.CRTSCTS})
	for _, wrong := range []struct {
		speed int
		form  string
	}{{0, "8N1"}, {-1, "8N1"}, {9600, "9N1"}, {9600, "8N"}, {9600, "8X1"}, {9600, "8N3"}, {9600, "8N1 "}} {
		if err := line.SetLine(wrong.speed, wrong.form); err == nil {
			t.Errorf("%+v was accepted", wrong)
		}
	}
	is("after wrong ones", settings{250000, unix.CRTSCTS})
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	open(t, b)
	is("the next session", settings{9600, configured})
}

func TestSerialForgetsWhatCameBetweenSessions(t *testing.T) {
	a := newAdapter(t)
	near, err := os.OpenFile(a.name, os.O_RDWR|syscall.O_NOCTTY, 0) // which keeps it, as socat does
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	b, _ := a.backend("115200,8N1")
	if err := open(t, b).Close(); err != nil { // it is raw now
		t.Fatal(err)
	}
	write(t, a.far, "an answer for alice")
	for n := 0; n == 0; {
		if n, err = unix.IoctlGetInt(int(near.Fd()), unix.TIOCINQ); err != nil {
			t.Fatal(err)
		}
	}
	stream := open(t, b)
	write(t, a.far, "for bob")
	expect(t, stream, "for bob")
}

func TestSerialVanishesAndComesBack(t *testing.T) {
	a := newAdapter(t)
	b, log := a.backend("115200,8N1")
	stream := open(t, b)
	write(t, a.far, "last words")
	expect(t, stream, "last words")
	a.unplug()
	for what, use := range map[string]func([]byte) (int, error){"read": stream.Read, "write": stream.Write} {
		if n, err := use([]byte("?")); n != 0 || !errors.Is(err, ErrVanished) || errors.Is(err, io.EOF) {
			t.Errorf("%s: %d, %v", what, n, err)
		}
	}
	_ = stream.Close()
	if _, err := b.Open(t.Context(), Client{User: "bob", Conn: "C-2"}); err == nil || !strings.Contains(err.Error(), "there is no serial device "+a.name+": plug it in") {
		t.Errorf("open without it: %v", err)
	}
	a.plugIn()
	stream = open(t, b)
	write(t, a.far, "hello again")
	expect(t, stream, "hello again")
	for _, text := range []string{"the serial device has vanished", "the serial device is back"} {
		if n := strings.Count(log.String(), text); n != 1 {
			t.Errorf("%q is told %d times:\n%s", text, n, log)
		}
	}
}

func TestSerialCloseUnblocks(t *testing.T) {
	a := newAdapter(t)
	b, _ := a.backend("115200,8N1")
	for what, use := range map[string]func(io.ReadWriteCloser) error{
		"Read": func(s io.ReadWriteCloser) error { _, err := s.Read(make([]byte, 1)); return err },
		"Write": func(s io.ReadWriteCloser) error {
			for {
				if _, err := s.Write(make([]byte, 1<<20)); err != nil { // a pty holds a few KiB
					return err
				}
			}
		},
	} {
		for how, end := range map[string]func(io.ReadWriteCloser) error{
			"Close": io.ReadWriteCloser.Close,
			"Reset": func(s io.ReadWriteCloser) error { return s.(interface{ Reset() error }).Reset() },
		} {
			stream := open(t, b)
			result := make(chan error, 1)
			go func() { result <- use(stream) }()
			time.Sleep(10 * time.Millisecond) // most often it has begun then; the test holds if not
			if err := end(stream); err != nil {
				t.Errorf("%s: %v", how, err)
			}
			select {
			case err := <-result:
				if !errors.Is(err, os.ErrClosed) {
					t.Errorf("%s after %s: %v", what, how, err)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s goes on after %s", what, how)
			}
		}
	}
}

func TestSerialRefusesWhatIsNoDevice(t *testing.T) {
	directory := t.TempDir()
	file := filepath.Join(directory, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/dev/null", directory, file} {
		b, err := Parse("serial:"+path+",9600,8N1", Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, usage := errors.AsType[UsageError](b.Check())
		if err := b.Check(); !usage || !strings.Contains(err.Error(), path+" is no serial device: look up") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestSerialSpeedsThatAreNearEnough(t *testing.T) {
	for _, c := range []struct {
		got, wanted int
		ok          bool
	}{{115200, 115200, true}, {117647, 115200, true}, {110769, 115200, true}, {9600, 115200, false}, {125000, 115200, false}, {unknownSpeed, 1, true}} {
		if near(c.got, c.wanted) != c.ok {
			t.Errorf("%d for %d: %t", c.got, c.wanted, !c.ok)
		}
	}
}

// TestSerialOverSocat has a second implementation of a pty pair on the other side.
func TestSerialOverSocat(t *testing.T) {
	path, err := exec.LookPath("socat")
	if err != nil {
		t.Skip(err)
	}
	near, far := filepath.Join(t.TempDir(), "near"), filepath.Join(t.TempDir(), "far")
	cable := exec.Command(path, "pty,raw,echo=0,link="+near, "pty,raw,echo=0,link="+far)
	if err := cable.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cable.Process.Kill(), cable.Wait() })
	for _, err := os.Stat(far); err != nil; _, err = os.Stat(far) {
		time.Sleep(time.Millisecond)
	}
	ends := make([]io.ReadWriteCloser, 2)
	for i, name := range []string{near, far} {
		b, err := Parse("serial:"+name+",115200,8N1", Options{})
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = open(t, b)
	}
	write(t, ends[0], "there")
	expect(t, ends[1], "there")
	write(t, ends[1], "and back")
	expect(t, ends[0], "and back")
	if err := cable.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := ends[0].Read(make([]byte, 1)); !errors.Is(err, ErrVanished) {
		t.Error(err)
	}
}
