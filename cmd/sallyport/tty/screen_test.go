package tty

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A message in raw mode stands on lines of its own, wherever the cursor was, and makes no staircase.
func TestMessages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		raw    bool
		before string
		want   string
	}{
		{true, "", "1 waiting\r\nmore\r\n"},
		{true, "login: ", "login: \r\n1 waiting\r\nmore\r\n"},
		{true, "hello\r\n", "hello\r\n1 waiting\r\nmore\r\n"},
		{true, "hello\n\r", "hello\n\r1 waiting\r\nmore\r\n"},
		{true, "50 %\r", "50 %\r\r\n1 waiting\r\nmore\r\n"},
		{false, "login: ", "login: 1 waiting\nmore\n"},
	} {
		var shown bytes.Buffer
		s := &Screen{Out: &shown, Messages: &shown, Raw: test.raw}
		io.WriteString(s, test.before)
		s.Printf("%d waiting\nmore", 1)
		if got := shown.String(); got != test.want {
			t.Errorf("%q, not %q", got, test.want)
		}
	}
}

// The message of a mark stands behind the marked byte, whichever comes first.
func TestMark(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		before, behind string
		want           string
	}{
		{"", "old\r\n> new", "old\r\n> \r\nnow\r\nnew"},
		{"old", "\r\n> ", "old\r\n> \r\nnow\r\n"},
		{"old\r\n> ", "new", "old\r\n> \r\nnow\r\nnew"},
		{"old\r\n> n", "ew", "old\r\n> n\r\nnow\r\new"},
		{"", "old", "old"},
	} {
		var shown bytes.Buffer
		s := &Screen{Out: &shown, Messages: &shown, Raw: true}
		io.WriteString(s, test.before)
		s.Mark(int64(len("old\r\n> ")), "now")
		if n, err := io.WriteString(s, test.behind); n != len(test.behind) || err != nil {
			t.Error(n, err)
		}
		if got := shown.String(); got != test.want {
			t.Errorf("%q, not %q", got, test.want)
		}
	}
}

func TestQuestion(t *testing.T) {
	t.Parallel()
	var shown bytes.Buffer
	s := &Screen{Out: &shown, Messages: &shown, Raw: true}
	io.WriteString(s, "$ ")
	s.Ask("speed: ")
	s.Echo([]byte("9"))
	s.EndQuestion()
	io.WriteString(s, "$ ")
	s.EndQuestion()
	s.Ask("speed: ")
	s.Printf("set")
	s.EndQuestion()
	s.EndLine()
	if got := shown.String(); got != "$ \r\nspeed: 9\r\n$ \r\nspeed: \r\nset\r\n" {
		t.Errorf("%q", got)
	}
}

// stuck is a writer that blocks for a time.
type stuck time.Duration

func (s stuck) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(s))
	return len(p), nil
}

func TestAwaitQuiet(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		writes []time.Duration // after the call
		takes  time.Duration   // each
		want   time.Duration
	}{
		{nil, 0, 2 * time.Second},
		{[]time.Duration{time.Second}, 0, 3 * time.Second},
		{[]time.Duration{time.Second, 2 * time.Second, 3900 * time.Millisecond}, 0, 5900 * time.Millisecond},
		{[]time.Duration{2100 * time.Millisecond}, 0, 2 * time.Second},
		{[]time.Duration{time.Second}, 2500 * time.Millisecond, 5500 * time.Millisecond}, // it blocks
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &Screen{Out: stuck(test.takes)}
			s.Write([]byte("before"))
			began := time.Now()
			var writer sync.WaitGroup
			defer writer.Wait()
			writer.Go(func() {
				for _, at := range test.writes {
					time.Sleep(at - time.Since(began))
					s.Write([]byte("x"))
				}
			})
			s.AwaitQuiet(t.Context(), 2*time.Second)
			if got := time.Since(began); got < test.want || got > test.want+500*time.Millisecond {
				t.Errorf("%v: quiet after %v, not %v", test.writes, got, test.want)
			}
		})
	}
}

func TestAwaitQuietEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		new(Screen).AwaitQuiet(ctx, time.Hour)
		if got := time.Since(began); got != time.Second {
			t.Error(got)
		}
	})
}

func TestFlows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Screen{Out: stuck(time.Hour)}
		if s.Flows() {
			t.Error("before the first byte")
		}
		go s.Write([]byte("x"))
		time.Sleep(time.Minute)
		if !s.Flows() {
			t.Error("a blocked write is taken for silence")
		}
		time.Sleep(time.Hour - time.Minute + flowing/2)
		if !s.Flows() {
			t.Error("a slow reader is taken for silence")
		}
		if time.Sleep(flowing); s.Flows() {
			t.Error("after the last byte")
		}
	})
}
