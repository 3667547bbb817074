package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var errCut = errors.New("421 evicted")

// fake is a stream whose other side is the test.
type fake struct {
	says    chan []byte // what the backend says
	ends    chan error  // how it ends; nil for an end in order
	over    chan final
	given   chan error    // gets the argument of End
	takes   chan struct{} // closed when the program's direction has ended
	took    atomic.Int64
	aborted chan struct{}
}

func newFake() *fake {
	return &fake{
		says: make(chan []byte), ends: make(chan error, 2), over: make(chan final, 1), given: make(chan error, 1),
		takes: make(chan struct{}), aborted: make(chan struct{}),
	}
}

func (f *fake) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(io.Discard, r)
	f.took.Add(n)
	return n, err
}

func (f *fake) WriteTo(w io.Writer) (n int64, err error) {
	for {
		select {
		case p := <-f.says:
			if _, err := w.Write(p); err != nil {
				return n, err
			}
		case err := <-f.ends:
			return n, err
		}
	}
}

func (f *fake) CloseWrite() error { close(f.takes); return nil }

func (f *fake) Abort() error {
	close(f.aborted)
	f.ends <- errors.New("the stream has ended")
	f.over <- final{}
	return nil
}

func (f *fake) End(err error) { f.given <- err; f.ends <- err }

func (f *fake) Ping(context.Context, bool) (int64, error) { return f.took.Load(), nil }

func (f *fake) Wait(context.Context) (in, out int64, err error) {
	o := <-f.over
	return o.in, o.out, o.err
}

// say has the backend say something.
func (f *fake) say(t *testing.T, p []byte) {
	t.Helper()
	select {
	case f.says <- p:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody listens to the backend")
	}
}

// from waits for a value, or for the end of a channel.
func from[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came")
	}
	return v
}

// cut ends the stream early.
func (f *fake) cut() {
	f.over <- final{err: errCut}
	f.ends <- errCut
}

// joined joins a program to a fake. The result of the joint comes from the channel.
func joined(t *testing.T, ctx context.Context, addr string) (net.Conn, *fake, <-chan error) {
	t.Helper()
	p, _ := opened(t, addr)
	conn := program(t, p)
	l, err := p.next(ctx)
	if err != nil || !p.take(l) {
		t.Fatal(err)
	}
	f, result, freed := newFake(), make(chan error, 1), false
	j := newJoint(l)
	j.lastWords, j.reason, j.free = 5*lastWords, func(err error) error { return err }, func() { freed = true }
	j.begin(f, func() {})
	go func() {
		err := j.run(ctx)
		if err == nil && !freed {
			t.Error("the seat was not given back")
		}
		result <- err
	}()
	return conn, f, result
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// ends expects how a program's input ends, and what comes before.
func ends(t *testing.T, conn net.Conn, bytes int, want error) {
	t.Helper()
	if got, err := io.ReadAll(conn); len(got) != bytes || !errors.Is(err, want) {
		t.Errorf("%d bytes, %v; not %d, %v", len(got), err, bytes, want)
	}
}

func TestProgramEndsFirst(t *testing.T) {
	t.Parallel()
	conn, f, result := joined(t, t.Context(), "0")
	say(t, conn, "*IDN?\n")
	_ = conn.(*net.TCPConn).CloseWrite()
	from(t, f.takes)
	f.say(t, []byte("INSTRUMENT,1\n"))
	f.ends <- nil
	f.over <- final{in: 6, out: 13}
	ends(t, conn, 13, nil)
	if err := from(t, result); err != nil {
		t.Error(err)
	}
}

func TestBackendEndsFirst(t *testing.T) {
	t.Parallel()
	conn, f, result := joined(t, t.Context(), "0")
	f.say(t, []byte("bye\n"))
	f.ends <- nil
	ends(t, conn, 4, nil)
	say(t, conn, "late\n")
	_ = conn.Close()
	from(t, f.takes)
	time.Sleep(3 * lookEvery) // the end of both directions is no reset
	f.over <- final{in: 5, out: 4}
	if err := from(t, result); err != nil || f.took.Load() != 5 {
		t.Error(err, f.took.Load())
	}
}

// A program that reads late gets all that came before the stream was cut.
func TestLastWords(t *testing.T) {
	t.Parallel()
	const size = 6 << 20
	conn, f, result := joined(t, t.Context(), "0")
	f.say(t, make([]byte, size))
	f.over <- final{err: errCut}
	go func() { f.ends <- errCut }()
	ends(t, conn, size, syscall.ECONNRESET)
	if err := from(t, result); err != errCut {
		t.Error(err)
	}
}

func TestLastWordsAreBounded(t *testing.T) {
	t.Parallel()
	conn, f, result := joined(t, t.Context(), "0")
	f.say(t, make([]byte, 64<<20))
	began := time.Now()
	f.cut()
	if err := from(t, result); err != errCut || time.Since(began) > 10*lastWords {
		t.Error(err, time.Since(began))
	}
	if _, err := io.Copy(io.Discard, conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

// The end of both directions is no good end before the stream's is known.
func TestFailsAfterTheBackendsEnd(t *testing.T) {
	t.Parallel()
	conn, f, result := joined(t, t.Context(), "0")
	_ = conn.(*net.TCPConn).CloseWrite()
	from(t, f.takes)
	f.say(t, []byte("half"))
	f.ends <- nil
	f.over <- final{err: errCut}
	ends(t, conn, 4, syscall.ECONNRESET)
	if err := from(t, result); err != errCut {
		t.Error(err)
	}
}

// When the seat may be lost the stream may not know it.
func TestSeatIsLost(t *testing.T) {
	t.Parallel()
	ctx, lose := context.WithCancelCause(t.Context())
	conn, f, result := joined(t, ctx, "0")
	f.say(t, []byte("half"))
	lose(errCut)
	ends(t, conn, 4, syscall.ECONNRESET)
	if err := from(t, result); err != errCut || from(t, f.given) != errCut {
		t.Error(err)
	}
}

func TestUnixSocketIsClosed(t *testing.T) {
	t.Parallel()
	conn, f, result := joined(t, t.Context(), unixPrefix+t.TempDir()+"/port")
	f.say(t, []byte("half"))
	f.cut()
	ends(t, conn, 4, nil)
	if err := from(t, result); err != errCut {
		t.Error(err)
	}
}

func TestProgramResets(t *testing.T) {
	t.Parallel()
	conn, f, result := joined(t, t.Context(), "0")
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
	from(t, f.aborted)
	if _, ofLocal := errors.AsType[localError](from(t, result)); !ofLocal {
		t.Error("no error of the local connection")
	}
}

// The backend may go on with what a program sent that has left.
func TestProgramLeavesAfterItsLastWord(t *testing.T) {
	t.Parallel()
	conn, f, result := joined(t, t.Context(), "0")
	say(t, conn, "VOLT 5\n")
	_ = conn.Close()
	from(t, f.takes)
	for range 10 { // the first is answered with a reset
		f.say(t, []byte("ok VOLT 5\n"))
		time.Sleep(time.Millisecond)
	}
	select {
	case <-f.aborted:
		t.Fatal("the backend was reset")
	case <-time.After(3 * lookEvery): // the connection looks broken
	}
	f.ends <- nil
	f.over <- final{in: 7, out: 100}
	if err := from(t, result); err != nil {
		t.Error(err)
	}
}

// If the program has left, a backend that doesn't end must not keep the seat.
func TestProgramHasLeft(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	conn, f, result := joined(t, t.Context(), "0")
	say(t, conn, "VOLT 5\n")
	_ = conn.Close()
	from(t, f.takes)
	began := time.Now()
	from(t, f.aborted)
	if took := time.Since(began); took < grace || took > 5*grace { // later keep-alive finds it
		t.Error("it had", took)
	}
	if err := from(t, result); err != errLeft {
		t.Error(err)
	}
}
