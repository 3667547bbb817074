package joint

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

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

// slowDevice takes 4 s to close, like a command that ignores SIGTERM.
type slowDevice struct{ *device }

func (d slowDevice) Close() error {
	time.Sleep(4 * time.Second)
	return d.device.Close()
}

// A client that has to go while the backend is being closed is told at once.
func TestTakenAwayWhileTheBackendCloses(t *testing.T) {
	t.Parallel()
	start(t, func(d *device) io.ReadWriteCloser { return slowDevice{d} }, func(w *world) {
		began := time.Now()
		w.says("DATA 0\r\n")
		time.Sleep(time.Second) // it is heard out, and Close has begun
		evicted := errors.New("evicted")
		w.cancel(evicted)
		w.hears("421 evicted")
		if took := time.Since(began); took > time.Second {
			t.Errorf("told after %v", took)
		}
		w.ends(End{Ended: true}, "last close")
		if took := time.Since(began); took < 4*time.Second {
			t.Errorf("ended after %v, before the backend was closed", took)
		}
	})
}
