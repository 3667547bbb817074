package watch

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

// watcher is a Client whose other end is the test's.
type watcher struct {
	lines chan string
	wakes chan struct{}
	drops chan struct{}
	taken chan string // what Send gets, one at a time
}

func newWatcher() *watcher {
	return &watcher{make(chan string), make(chan struct{}, 1), make(chan struct{}, 1), make(chan string)}
}

func (w *watcher) ReadLine() ([]byte, error) {
	select {
	case <-w.drops:
		return nil, ErrTooSlow
	default:
	}
	select {
	case line, isOpen := <-w.lines:
		if !isOpen {
			return nil, io.EOF
		}
		return []byte(line), nil
	case <-w.wakes:
		return nil, nil
	case <-w.drops:
		return nil, ErrTooSlow
	}
}

func (w *watcher) Send(p []byte) error {
	w.taken <- string(p)
	return nil
}

func (w *watcher) Drop() { w.drops <- struct{}{} }

func (w *watcher) Wake() {
	select {
	case w.wakes <- struct{}{}:
	default:
	}
}

func (w *watcher) takes(t *testing.T, want string) {
	t.Helper()
	if got := <-w.taken; got != want {
		t.Errorf("took %.80q, not %.80q", got, want)
	}
}

// show runs Show. ended gets its results.
func show(f *Feed) (ended chan error, sent *int64) {
	ended, sent = make(chan error, 1), new(int64)
	go func() {
		var err error
		*sent, err = f.Show()
		ended <- err
	}()
	return ended, sent
}

func join(t *testing.T, c *Crowd, backlog string) (*watcher, *Feed) {
	t.Helper()
	w := newWatcher()
	f, err := c.Join(w, []byte(backlog))
	if err != nil {
		t.Fatal(err)
	}
	return w, f
}

func TestShow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &Crowd{Max: 1}
		w, f := join(t, c, "boot")
		if _, err := c.Join(newWatcher(), nil); err == nil || err.Error() != "421 busy 1 watch already, and no more may" {
			t.Error(err)
		}
		c.Say([]byte(" login"))
		ended, sent := show(f)
		w.takes(t, "151 4\r\nboot")
		w.takes(t, "151 6\r\n login")
		synctest.Wait()
		said := []byte(": ")
		c.Say(said)
		copy(said, "xx") // the backend's buffer is used again
		w.takes(t, "151 2\r\n: ")
		w.lines <- "PING"
		w.takes(t, "153 0\r\n")
		close(w.lines)
		if err := <-ended; err != io.EOF || *sent != 12 {
			t.Error(err, *sent)
		}
		if _, err := c.Join(newWatcher(), nil); err != nil {
			t.Error("a watcher that has left is still counted:", err)
		}
	})
}

// TestDownAndBack: each watcher learns once that the backend is down, behind what that has said, and once that it is back.
func TestDownAndBack(t *testing.T) {
	t.Parallel()
	const down, back = "150 the backend is down\r\n", "150 the backend is back\r\n"
	synctest.Test(t, func(t *testing.T) {
		c := &Crowd{Max: 3}
		c.Back() // no news
		early, earlyFeed := join(t, c, "boot")
		c.Down()
		c.Down()
		late, lateFeed := join(t, c, "")
		for w, f := range map[*watcher]*Feed{early: earlyFeed, late: lateFeed} {
			ended, _ := show(f)
			defer func() { close(w.lines); <-ended }()
		}
		early.takes(t, "151 4\r\nboot")
		early.takes(t, down)
		late.takes(t, down)
		synctest.Wait()
		c.Back()
		early.takes(t, back)
		late.takes(t, back)
		synctest.Wait()
		later, laterFeed := join(t, c, "")
		ended, _ := show(laterFeed)
		c.Say([]byte("x"))
		for _, w := range []*watcher{early, late, later} {
			w.takes(t, "151 1\r\nx")
		}
		close(later.lines)
		<-ended
	})
}

// TestCommands: a watcher says PING and QUIT, which the server answers before, and nothing else.
func TestCommands(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"DATA 6", "DATA 0", "DATA x", "BREAK", "LINE 9600,8N1", "WINDOW 80 24", "ABORT", "PING NOW", "STREAM", "BODY 6 ECHO", ""} {
		synctest.Test(t, func(t *testing.T) {
			w, f := join(t, &Crowd{Max: 1}, "")
			ended, _ := show(f)
			w.lines <- line
			if refused, ok := errors.AsType[*protocol.ReplyError](<-ended); !ok || refused.Code != protocol.CodeSequence {
				t.Errorf("%q: %v", line, refused)
			}
		})
	}
}

// TestTooSlow: a watcher that takes nothing is dropped when it is too far behind. The backend and the others never wait
// for it.
func TestTooSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &Crowd{Max: 2}
		slow, slowFeed := join(t, c, "")
		good, goodFeed := join(t, c, "")
		ended, sent := show(slowFeed)
		began := time.Now()
		goodEnded, _ := show(goodFeed)
		c.Say([]byte("x"))
		synctest.Wait()
		good.takes(t, "151 1\r\nx")
		half := bytes.Repeat([]byte("y"), Behind/2)
		for range 3 {
			c.Say(half) // waits for neither
			for rest := len(half); rest > 0; {
				_, piece, _ := strings.Cut(<-good.taken, "\n")
				rest -= len(piece)
			}
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("the backend has waited %v", waited)
		}
		slow.takes(t, "151 1\r\nx") // the piece that had begun
		if err := <-ended; err != ErrTooSlow || *sent != 1 {
			t.Error(err, *sent)
		}
		c.Say([]byte("z"))
		good.takes(t, "151 1\r\nz")
		close(good.lines)
		if err := <-goodEnded; err != io.EOF {
			t.Error(err)
		}
	})
}
