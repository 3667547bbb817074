package joint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/piece"
)

var errStopped = errors.New("stopped")

// wire is the Client of a stream, whose other end the test has.
type wire struct {
	*protocol.Reader
	stop   chan struct{}
	closed atomic.Bool
	toTest *io.PipeWriter
	notice string
}

// interruptible ends a Read when the wire is stopped. A Read that goes on gives its bytes to the next one.
type interruptible struct {
	src   chan []byte
	err   error
	stop  chan struct{}
	piece []byte
}

func (i *interruptible) Read(p []byte) (int, error) {
	if len(i.piece) == 0 {
		select {
		case <-i.stop:
			return 0, errStopped
		default:
		}
		select {
		case <-i.stop:
			return 0, errStopped
		case next, ok := <-i.src:
			if !ok {
				return 0, i.err
			}
			i.piece = next
		}
	}
	n := copy(p, i.piece)
	i.piece = i.piece[n:]
	return n, nil
}

func (w *wire) Stop() {
	if !w.closed.Swap(true) {
		close(w.stop)
	}
}

func (w *wire) CloseWrite() error { return w.toTest.Close() }
func (w *wire) Leave() error      { <-w.stop; return errStopped }

// below is the connection below TLS, whose deadline ends a Send.
type below struct {
	net.Conn
	*wire
}

func (b below) SetWriteDeadline(by time.Time) error {
	time.AfterFunc(time.Until(by), func() { _ = b.toTest.CloseWithError(io.EOF) })
	return nil
}

// limits end a stream after a day, so that no test waits for ever.
func (w *wire) limits() Limits {
	by := time.Now().Add(24 * time.Hour)
	return Limits{
		Idle: -1, Vanish: -1, Conn: below{wire: w},
		Deadline: func(time.Duration) (time.Time, time.Time) { return by, by },
		Warn:     func() {},
		Overdue:  func() error { return errors.New("overdue") },
	}
}
func (w *wire) Send(p []byte) error { _, err := w.toTest.Write(p); return err }

func (w *wire) Notify() error {
	notice := w.notice
	if w.notice = ""; notice == "" {
		return nil
	}
	return w.Send([]byte(notice))
}

func (w *wire) Wait() error {
	for !w.Full() {
		if err := w.Fill(); err != nil {
			if err == errStopped {
				err = nil
			}
			return err
		}
	}
	<-w.stop
	return nil
}

// device is a backend. Its other end is the test's.
type device struct {
	net.Conn // of which both directions are closed at once
	in       *io.PipeReader
	out      *io.PipeWriter

	mu  sync.Mutex
	log []string // what it was told beside bytes
}

func (d *device) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, fmt.Sprintf(format, args...))
}

func (d *device) notes() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.log, " ")
}

func (d *device) Read(p []byte) (int, error)  { return d.in.Read(p) }
func (d *device) Write(p []byte) (int, error) { return d.out.Write(p) }
func (d *device) Reset() error                { d.note("reset"); return nil }
func (d *device) Close() error {
	d.note("close")
	_ = d.in.CloseWithError(net.ErrClosed)
	return d.out.CloseWithError(errors.New("closed"))
}
func (d *device) Break() error { d.note("break"); return nil }
func (d *device) SetLine(speed int, form string) error {
	d.note("%d,%s", speed, form)
	return errors.New("no such speed")
}
func (d *device) SetWindow(columns, rows int) error { d.note("%dx%d", columns, rows); return nil }

// halfDevice can end one direction.
type halfDevice struct{ *device }

func (d halfDevice) CloseWrite() error { d.note("end"); return d.out.Close() }

// keptDevice stays open.
type keptDevice struct{ *device }

func (keptDevice) Kept() bool { return true }

// world is a running stream, and the test's ends of it.
type world struct {
	*testing.T
	*device
	wire    *wire
	toWire  *interruptible
	heard   *protocol.Reader // by the client
	fromDev *io.PipeReader   // by the device
	toDev   *io.PipeWriter   // said by the device
	news    chan struct{}
	cancel  context.CancelCauseFunc
	active  atomic.Int64
	refused atomic.Int64
	lost    atomic.Bool // the right to write
	end     chan End
}

var errLost = errors.New("the right to write is lost")

// start runs a stream in synthetic time.
func start(t *testing.T, backend func(d *device) io.ReadWriteCloser, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, device: &device{}, news: make(chan struct{}, 1), end: make(chan End, 1)}
		w.in, w.toDev = io.Pipe()
		w.fromDev, w.out = io.Pipe()
		fromWire, toTest := io.Pipe()
		w.wire = &wire{stop: make(chan struct{}), toTest: toTest}
		w.toWire = &interruptible{src: make(chan []byte, 1<<10), err: io.EOF, stop: w.wire.stop}
		w.wire.Reader = protocol.NewReader(w.toWire)
		w.heard = protocol.NewReader(fromWire)
		ctx, cancel := context.WithCancelCause(t.Context())
		w.cancel = cancel
		defer cancel(nil)
		t.Cleanup(func() { // ends what a failure leaves behind
			cancel(nil)
			_, _, _, _ = w.fromDev.Close(), w.toDev.Close(), fromWire.Close(), toTest.Close()
			w.wire.Stop()
		})
		stream := Stream{
			Client: w.wire, Backend: backend(w.device), News: w.news,
			Active: func() { w.active.Add(1) }, Refused: func(error) { w.refused.Add(1) },
			Stuck:  func() { w.note("stuck") },
			Passed: func(string, []byte) error { return nil },
			MayWrite: func() error {
				if w.lost.Load() {
					return errLost
				}
				return nil
			},
			Safely: func(f func() error) error { return f() }, Limits: w.wire.limits(),
			Last: func(end End) { w.note("last"); _ = w.wire.Send([]byte("421 " + end.Err.Error() + "\r\n")) },
		}
		go func() { w.end <- stream.Run(ctx) }()
		test(w)
	})
}

func halves(d *device) io.ReadWriteCloser { return halfDevice{d} }
func whole(d *device) io.ReadWriteCloser  { return d }

// says is what the client sends. The server has handled each part before the next.
func (w *world) says(parts ...string) {
	w.Helper()
	for _, part := range parts {
		select {
		case w.toWire.src <- []byte(part):
		default:
			w.Fatal("the client has sent too much")
		}
		synctest.Wait()
	}
}

// hears is what the client gets: lines, and the bytes of pieces.
func (w *world) hears(lines ...string) {
	w.Helper()
	for _, want := range lines {
		line, err := w.heard.ReadLine()
		got := string(line)
		if size, found := strings.CutPrefix(got, "151 "); found && err == nil {
			n, bad := piece.ParseHeader(size)
			body := make([]byte, n)
			_, err = io.ReadFull(w.heard, body)
			got, err = "151 "+string(body), errors.Join(bad, err)
		}
		if err != nil || got != want {
			w.Fatalf("the client hears %.80q (%v), not %q", got, err, want)
		}
	}
}

// takes is what the device gets.
func (w *world) takes(want string) {
	w.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(w.fromDev, got); err != nil || string(got) != want {
		w.Fatalf("the device gets %.80q (%v), not %.80q", got, err, want)
	}
	synctest.Wait() // until the server knows
}

// gives is what the device says.
func (w *world) gives(what string) {
	w.Helper()
	if _, err := io.WriteString(w.toDev, what); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
}

// ends is how the stream ends.
func (w *world) ends(want End, notes string) {
	w.Helper()
	got := <-w.end
	if !errors.Is(got.Err, want.Err) || want.Err == nil && got.Err != nil {
		w.Errorf("the stream ended with %v, not %v", got.Err, want.Err)
	}
	got.Err, want.Err = nil, nil
	if got != want {
		w.Errorf("the stream ended as %+v, not %+v", got, want)
	}
	if got := w.notes(); got != notes {
		w.Errorf("the device was told %q, not %q", got, notes)
	}
}

// next is the client's next line after the stream.
func (w *world) next(want string) {
	w.Helper()
	w.toWire.stop = make(chan struct{})
	line, err := w.wire.ReadLine()
	if string(line) != want || err != nil {
		w.Errorf("the next line is %q (%v), not %q", line, err, want)
	}
}
