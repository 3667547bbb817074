package joint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
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
		Deadline: func(time.Duration) time.Time { return by },
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
	end     chan End
}

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

func TestDirectionsEnd(t *testing.T) {
	t.Parallel()
	t.Run("the client's first", func(t *testing.T) {
		start(t, halves, func(w *world) {
			w.says("DATA 6\r\n*ID", "N?\nDATA 0\r\n")
			w.takes("*IDN?\n")
			if n, err := w.fromDev.Read(make([]byte, 1)); err != io.EOF {
				t.Fatal(n, err)
			}
			w.gives("INSTRUMENT,1\n")
			w.hears("151 INSTRUMENT,1\n")
			w.says("PING\r\n")
			w.hears("153 6")
			_ = w.toDev.Close()
			w.hears("151 ")
			w.ends(End{In: 6, Out: 13, Ended: true}, "end close")
		})
	})
	t.Run("the backend's first", func(t *testing.T) {
		start(t, halves, func(w *world) {
			w.gives("login: ")
			_ = w.toDev.Close()
			w.hears("151 login: ", "151 ")
			w.says("DATA 2\r\nhi")
			w.takes("hi")
			w.says("PING\r\n")
			w.hears("153 2")
			w.says("DATA 0\r\n")
			w.ends(End{In: 2, Out: 7, Ended: true}, "end close")
		})
	})
	t.Run("together, where the backend can't end one", func(t *testing.T) {
		start(t, whole, func(w *world) {
			w.says("DATA 2\r\nhi", "DATA 0\r\n")
			w.takes("hi")
			w.hears("151 ")
			w.ends(End{In: 2, Ended: true}, "close")
		})
	})
}

func TestCommandBehindTheEnd(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"QUIT", "STREAM", "BODY 9 ECHO", "LINE", "", "WINDOW 0 0"} {
		start(t, halves, func(w *world) {
			w.says("DATA 0\r\nPING\r\n", "BREAK\r\nPING ACTIVE\r\n", command+"\r\nABORT\r\n")
			w.hears("153 0", "153 0")
			_ = w.toDev.Close()
			w.hears("151 ")
			w.ends(End{Ended: true}, "end close")
			w.next(command)
			w.next("ABORT")
		})
	}
}

// TestMistakes: each ends the stream, and the line is read again.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]error{
		"QUIT": ErrSequence, "BODY 9 ECHO": ErrSequence, "STREAM": ErrSequence, "": ErrSequence, "ABORT now": ErrSequence,
		"DATA": protocol.ErrArgument, "DATA 65537": protocol.ErrArgument, "DATA 01": protocol.ErrArgument,
		"LINE 9600": protocol.ErrArgument, "WINDOW 80": protocol.ErrArgument,
	} {
		start(t, halves, func(w *world) {
			w.says("DATA 2\r\nhi" + line + "\r\n")
			w.ends(End{Err: want}, "reset close")
		})
	}
	for _, line := range []string{"DATA 0", "DATA 5", "DATA", "DATA 65537"} {
		start(t, halves, func(w *world) {
			w.says("DATA 0\r\n", line+"\r\n")
			w.ends(End{Err: ErrSequence, Ended: true}, "end reset close")
		})
	}
	start(t, halves, func(w *world) {
		w.says("DATA 2\rhi")
		w.ends(End{Err: protocol.ErrSyntax}, "reset close")
	})
}

func TestAbort(t *testing.T) {
	t.Parallel()
	t.Run("before the end", func(t *testing.T) {
		start(t, halves, func(w *world) {
			w.says("DATA 2\r\nhi")
			w.takes("hi")
			w.gives("out")
			w.hears("151 out")
			w.says("ABORT\r\nQUIT\r\n")
			w.ends(End{In: 2, Out: 3, Ended: true}, "reset close")
			w.next("QUIT")
		})
	})
	t.Run("behind the end", func(t *testing.T) {
		start(t, halves, func(w *world) {
			w.says("DATA 0\r\n", "PING\r\n", "abort\r\n")
			w.hears("153 0")
			w.ends(End{Ended: true}, "end reset close")
		})
	})
	t.Run("while the backend is stuck", func(t *testing.T) {
		start(t, whole, func(w *world) {
			w.says(pieces(piece.Ahead)...)
			w.says("PING\r\n")
			w.hears("153 0")
			w.says("ABORT\r\n")
			w.ends(End{Ended: true}, "reset close")
		})
	})
}

// pieces returns n bytes in pieces, each in one part.
func pieces(n int) (parts []string) {
	for ; n > 0; n -= piece.Max {
		size := min(n, piece.Max)
		parts = append(parts, fmt.Sprintf("DATA %d\r\n%s", size, bytes.Repeat([]byte{'x'}, size)))
	}
	return parts
}

// TestStuckBackend: the server holds Buffer bytes for the backend, and reads the client all the time until then.
func TestStuckBackend(t *testing.T) {
	t.Parallel()
	start(t, halves, func(w *world) {
		w.says(pieces(piece.Buffer)...)
		w.says("PING\r\n")
		w.hears("153 0")
		w.says("DATA 1\r\ny", "WINDOW 80 24\r\n")
		synctest.Wait()
		if w.notes() != "" {
			t.Error("more than Buffer bytes were read")
		}
		w.takes(strings.Repeat("x", piece.Buffer) + "y")
		w.says("PING\r\n")
		w.hears(fmt.Sprintf("153 %d", piece.Buffer+1))
		w.says("ABORT\r\n")
		w.ends(End{In: piece.Buffer + 1, Ended: true}, "80x24 reset close")
	})
}

// TestSlowClient: a backend is not stuck because a client takes what it has said a minute after the end.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	start(t, whole, func(w *world) {
		w.gives("nobody reads this")
		w.says("DATA 0\r\n")
		time.Sleep(time.Minute)
		if w.notes() != "close" {
			t.Error(w.notes())
		}
		w.hears("151 nobody reads this", "151 ")
		w.ends(End{Out: 17, Ended: true}, "close")
	})
}

// TestDeafClient: the client is read although it reads nothing. Pings cost no memory.
func TestDeafClient(t *testing.T) {
	t.Parallel()
	start(t, halves, func(w *world) {
		w.gives("nobody reads this")
		for range 100 {
			w.says("PING\r\n", "DATA 1\r\nx")
		}
		got := make([]byte, 100)
		if _, err := io.ReadFull(w.fromDev, got); err != nil {
			t.Fatal(err)
		}
		w.says("DATA 0\r\n")
		w.hears("151 nobody reads this")
		for range 100 {
			w.hears("153 100")
		}
		_ = w.toDev.Close()
		w.hears("151 ")
		w.ends(End{In: 100, Out: 17, Ended: true}, "end close")
	})
}

func TestActivity(t *testing.T) {
	t.Parallel()
	start(t, halves, func(w *world) {
		count := func(want int64, why string) {
			synctest.Wait()
			if n := w.active.Swap(0); n != want {
				t.Errorf("%s: %d activities, not %d", why, n, want)
			}
		}
		w.says("PING\r\n")
		w.hears("153 0")
		count(0, "PING")
		w.says("PING ACTIVE\r\n")
		w.hears("153 0")
		count(1, "PING ACTIVE")
		w.says("BREAK\r\nWINDOW 1 1\r\n")
		count(0, "BREAK and WINDOW")
		w.says("DATA 2\r\nhi")
		w.takes("hi")
		count(1, "DATA")
		w.gives("out")
		w.hears("151 out")
		count(1, "a piece")
		w.says("ABORT\r\n")
		w.ends(End{In: 2, Out: 3, Ended: true}, "break 1x1 reset close")
	})
	start(t, func(d *device) io.ReadWriteCloser { return keptDevice{d} }, func(w *world) {
		w.gives("tick")
		w.hears("151 tick")
		if n := w.active.Load(); n != 0 {
			t.Error("what a backend says that is kept open counts as activity")
		}
		w.says("DATA 0\r\n")
		w.hears("151 ")
		w.ends(End{Out: 4, Ended: true}, "close")
	})
}

// recorder has a backlog, and waits for no client when late is closed.
type recorder struct {
	keptDevice
	backlog string
	late    chan struct{}
}

func (r recorder) Backlog() []byte       { return []byte(r.backlog) }
func (r recorder) Late() <-chan struct{} { return r.late }

// TestBacklog: a stream begins with the backlog, in pieces, which is announced.
func TestBacklog(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", piece.Max)
	for backlog, want := range map[string][]string{
		"":           {},
		"before":     {"150 backlog 6", "151 before"},
		long + "end": {"150 backlog 65539", "151 " + long[piece.MaxHeader:], "151 " + long[:piece.MaxHeader] + "end"},
	} {
		start(t, func(d *device) io.ReadWriteCloser { return recorder{keptDevice{d}, backlog, nil} }, func(w *world) {
			go func() { _, _ = io.WriteString(w.toDev, "live") }()
			w.hears(want...)
			w.hears("151 live")
			w.says("DATA 0\r\n")
			w.hears("151 ")
			w.ends(End{Out: int64(len(backlog) + 4), Ended: true}, "close")
		})
	}
	for text, want := range map[string]string{"backlog 5": " backlog 5", "backlogs": "backlogs", "": ""} {
		if got := Words(text); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

// TestLate: a backend that no longer waits for its client ends the stream, though a write to the client is stuck.
func TestLate(t *testing.T) {
	t.Parallel()
	var late chan struct{}
	start(t, func(d *device) io.ReadWriteCloser {
		late = make(chan struct{})
		return recorder{keptDevice{d}, "", late}
	}, func(w *world) {
		w.gives("stuck")
		began := time.Now()
		close(late)
		end := <-w.end
		if !errors.Is(end.Err, ErrBackend) || !errors.Is(end.Err, ErrLate) || time.Since(began) > 2*time.Second {
			t.Error(end, time.Since(began))
		}
	})
}

// TestChatterEnds: a backend that is not told of the end is never silent. PING is answered until its last words are over.
func TestChatterEnds(t *testing.T) {
	t.Parallel()
	start(t, func(d *device) io.ReadWriteCloser { return keptDevice{d} }, func(w *world) {
		var chatter sync.WaitGroup
		defer chatter.Wait()
		chatter.Go(func() {
			for {
				if _, err := io.WriteString(w.toDev, "tick"); err != nil {
					return
				}
				time.Sleep(quiet / 2)
			}
		})
		heard := make(chan []byte, 1)
		go func() { all, _ := io.ReadAll(w.heard); heard <- all }()
		began := time.Now()
		w.says("DATA 0\r\n")
		time.Sleep(lastWords / 2)
		w.says("PING\r\n", "ABORT\r\n")
		if end := <-w.end; end.Err != nil || time.Since(began) > lastWords {
			t.Error(end, time.Since(began))
		}
		_ = w.wire.toTest.Close()
		if all := <-heard; !bytes.Contains(all, []byte("153 0\r\n")) {
			t.Errorf("no answer to PING in %q", all)
		}
	})
}

// TestSteering: BREAK and LINE wait for the bytes before them, unless the backend is stuck. Of what is refused again
// and again the operator hears once.
func TestSteering(t *testing.T) {
	t.Parallel()
	start(t, whole, func(w *world) {
		w.says("DATA 2\r\nhi", "LINE 9600,7e1\r\n", "WINDOW 80 24\r\n", "LINE 300,7E1\r\n")
		synctest.Wait()
		if notes := w.notes(); notes != "" {
			t.Errorf("told %q before the bytes", notes)
		}
		w.takes("hi")
		synctest.Wait()
		if notes := w.notes(); notes != "9600,7E1 80x24 300,7E1" || w.refused.Load() != 1 {
			t.Errorf("told %q, and refused %d", notes, w.refused.Load())
		}
		w.says("DATA 5\r\nstuck", "BREAK\r\n", "ABORT\r\n")
		w.ends(End{In: 2, Ended: true}, "9600,7E1 80x24 300,7E1 break reset close")
	})
	start(t, func(d *device) io.ReadWriteCloser { return struct{ io.ReadWriteCloser }{d} }, func(w *world) {
		w.says("BREAK\r\n", "LINE 9600,7E1\r\n", "WINDOW 80 24\r\n", "DATA 0\r\n")
		w.hears("151 ")
		w.ends(End{Ended: true}, "close")
	})
}

func TestNotices(t *testing.T) {
	t.Parallel()
	start(t, halves, func(w *world) {
		w.wire.notice = "121 waiting 1\r\n"
		w.news <- struct{}{}
		w.hears("121 waiting 1")
		w.says("ABORT\r\n")
		w.ends(End{Ended: true}, "reset close")
	})
}

func TestBackendBreaks(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	t.Run("and has said something", func(t *testing.T) {
		start(t, halves, func(w *world) {
			w.says("DATA 99\r\nhalf of it")
			go func() {
				_, _ = io.WriteString(w.toDev, "last words")
				_ = w.toDev.CloseWithError(broken)
			}()
			w.hears("151 last words")
			w.ends(End{Err: ErrBackend, Out: 10, Rest: 89}, "reset close")
		})
	})
	t.Run("in the middle of a piece", func(t *testing.T) {
		start(t, halves, func(w *world) {
			w.says("DATA 10\r\nhalf")
			w.takes("half")
			_ = w.toDev.CloseWithError(broken)
			w.ends(End{Err: ErrBackend, In: 4, Rest: 6}, "reset close")
		})
	})
	t.Run("after its end", func(t *testing.T) {
		start(t, halves, func(w *world) {
			_ = w.toDev.Close()
			w.hears("151 ")
			_ = w.fromDev.CloseWithError(broken)
			w.says("DATA 1\r\nx")
			w.ends(End{Err: ErrBackend}, "reset close")
		})
	})
	t.Run("while it is written to, and is heard out", func(t *testing.T) {
		start(t, halves, func(w *world) {
			_ = w.fromDev.CloseWithError(broken)
			go func() {
				_, _ = io.WriteString(w.toDev, "what it said before,")
				_, _ = io.WriteString(w.toDev, " to a client that reads slowly")
				_ = w.toDev.Close()
			}()
			synctest.Wait()
			w.says("DATA 1\r\nx", "PING\r\n")
			time.Sleep(time.Minute)
			w.says("QUIT\r\n") // a mistake, which belongs to what is discarded
			time.Sleep(time.Minute)
			w.hears("151 what it said before,", "153 0", "151  to a client that reads slowly", "151 ")
			w.ends(End{Err: ErrBackend, Out: 50}, "reset close")
			w.next("QUIT")
		})
	})
}

// TestClientHasToGo: what the backend said before is delivered, and the stream ends soon whatever both do.
func TestClientHasToGo(t *testing.T) {
	t.Parallel()
	evicted := errors.New("evicted")
	t.Run("after what the backend said", func(t *testing.T) {
		start(t, halves, func(w *world) {
			go func() {
				_, _ = io.WriteString(w.toDev, "first")
				_, _ = io.WriteString(w.toDev, "second")
			}()
			synctest.Wait()
			w.cancel(evicted)
			synctest.Wait()
			w.says("DATA 1\r\nx")
			time.Sleep(10 * quiet)
			w.hears("151 first", "151 second", "421 evicted")
			w.ends(End{Err: evicted, Out: 11, Rest: 1}, "last reset close")
		})
	})
	t.Run("although the backend never stops", func(t *testing.T) {
		start(t, halves, func(w *world) {
			go func() {
				for {
					time.Sleep(time.Millisecond)
					if _, err := io.WriteString(w.toDev, "tick"); err != nil {
						return
					}
				}
			}()
			go func() { _, _ = io.Copy(io.Discard, w.heard) }()
			began := time.Now()
			w.cancel(evicted)
			if end := <-w.end; end.Err != evicted || time.Since(began) > time.Second {
				t.Errorf("%v after %v", end.Err, time.Since(began))
			}
			_ = w.wire.toTest.Close()
			time.Sleep(time.Second) // until the device knows
		})
	})
}

func TestClientLeaves(t *testing.T) {
	t.Parallel()
	t.Run("without an end of its direction", func(t *testing.T) {
		start(t, halves, func(w *world) {
			w.gives("unread")
			w.says("DATA 9\r\nhalf")
			w.takes("half")
			close(w.toWire.src)
			w.ends(End{Err: io.EOF, In: 4, Rest: 5}, "reset close")
		})
	})
	t.Run("behind a command", func(t *testing.T) {
		start(t, halves, func(w *world) {
			w.says("DATA 0\r\n", "QUIT\r\n")
			w.toWire.err = io.ErrUnexpectedEOF
			close(w.toWire.src)
			w.ends(End{Err: io.ErrUnexpectedEOF, Ended: true}, "end reset close")
		})
	})
}

// TestTCPIsReset: a device on TCP can tell an abort from an end.
func TestTCPIsReset(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for end, want := range map[string]error{"DATA 0\r\n": nil, "ABORT\r\n": syscall.ECONNRESET} {
		backend, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		fromWire, toTest := io.Pipe()
		go func() { _, _ = io.Copy(io.Discard, fromWire) }()
		w := &wire{stop: make(chan struct{}), toTest: toTest}
		w.Reader = protocol.NewReader(&interruptible{src: make(chan []byte, 1), piece: []byte(end), stop: w.stop})
		stream := Stream{
			Client: w, Backend: backend, Active: func() {}, Passed: func(string, []byte) error { return nil },
			Safely: func(f func() error) error { return f() }, Limits: w.limits(),
		}
		ended := make(chan End)
		go func() { ended <- stream.Run(t.Context()) }()
		if _, err := io.Copy(io.Discard, far); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%q: the device sees %v, not %v", end, err, want)
		}
		_ = far.Close()
		if got := <-ended; got != (End{Ended: true}) {
			t.Errorf("%q: %+v", end, got)
		}
		_ = toTest.Close()
	}
}

// TestDiscard: nothing in a piece is a command.
func TestDiscard(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in   string
		rest int
		want error
		next string
	}{
		{"DATA 0\r\nNOOP\r\n", 0, nil, "NOOP"},
		{"ABORT\r\nNOOP\r\n", 0, nil, "NOOP"},
		{"PING\r\nBREAK\r\nWINDOW 80 24\r\nPING ACTIVE\r\nDATA 6\r\nQUIT\r\nDATA 0\r\nNOOP\r\n", 0, nil, "NOOP"},
		{"BODY 9 ECHO\r\nDATA 8\r\nDATA 0\r\nABORT\r\nNOOP\r\n", 13, nil, "NOOP"},
		{"QUIT\r\n", 0, ErrSequence, ""},
		{"DATA 6\r\nQUIT\r\nBODY 9 ECHO\r\n", 0, ErrSequence, ""},
		{"DATA 65537\r\n", 0, protocol.ErrArgument, ""},
		{"DATA 5\r\nQU", 0, io.EOF, ""},
		{"DATA 5\r\nhello", 0, io.EOF, ""},
	} {
		r := protocol.NewReader(strings.NewReader(test.in))
		if err := Discard(r, test.rest); !errors.Is(err, test.want) || test.want == nil && err != nil {
			t.Errorf("%q: %v, not %v", test.in, err, test.want)
		}
		if line, _ := r.Next(); test.want == nil && string(line) != test.next {
			t.Errorf("%q: the next command is %q", test.in, line)
		}
	}
}
