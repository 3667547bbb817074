package joint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/piece"
)

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
	t.Run("the client's, who may not write any more", func(t *testing.T) {
		start(t, halves, func(w *world) {
			w.says("DATA 2\r\nhi")
			w.takes("hi")
			w.lost.Store(true)
			w.says("DATA 0\r\n")
			w.ends(End{In: 2, Ended: true, Err: errLost}, "reset close")
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
	for _, command := range []string{"QUIT", "STREAM", "BODY 9 ECHO", "ABORT now", ""} {
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
	for _, line := range []string{"LINE", "LINE 9600", "WINDOW 0 0"} {
		start(t, halves, func(w *world) {
			w.says("DATA 0\r\n", line+"\r\n")
			w.ends(End{Err: protocol.ErrArgument, Ended: true}, "end reset close")
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
	t.Run("before a PING", func(t *testing.T) {
		start(t, whole, func(w *world) {
			w.says("ABORT\r\nPING\r\nABORT\r\nQUIT\r\n")
			w.hears("153 0")
			w.ends(End{Ended: true}, "reset close")
			w.next("QUIT")
		})
	})
	t.Run("while the backend is heard out", func(t *testing.T) {
		start(t, whole, func(w *world) {
			began := time.Now()
			w.says("DATA 0\r\n")
			w.says("ABORT\r\n")
			w.ends(End{Ended: true}, "reset close")
			if took := time.Since(began); took > 0 {
				t.Errorf("it took %v", took)
			}
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
