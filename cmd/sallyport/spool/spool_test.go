package spool_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/spool"
)

// stuck is a writer that blocks until free is closed.
type stuck struct {
	free chan struct{}
	bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.free
	return s.Buffer.Write(p)
}

func TestBlockedReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &stuck{free: make(chan struct{})}
		w := spool.New(out)
		fmt.Fprintln(w, "first")
		synctest.Wait() // until the Write of the first message blocks
		for i := range 300 {
			fmt.Fprintln(w, i)
		}
		began := time.Now()
		if w.Close(time.Second); time.Since(began) != time.Second {
			t.Errorf("Close took %v", time.Since(began))
		}
		close(out.free)
		w.Close(time.Second)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 258 || lines[1] != "44 messages were dropped" || lines[257] != "255" {
			t.Errorf("%d lines: %q", len(lines), lines)
		}
	})
}

func TestFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &stuck{free: make(chan struct{})}
		w := spool.New(out)
		fmt.Fprintln(w, "first")
		began := time.Now()
		if w.Flush(time.Second); time.Since(began) != time.Second || out.Len() > 0 {
			t.Errorf("Flush of a blocked writer took %v", time.Since(began))
		}
		close(out.free)
		if w.Flush(time.Second); out.String() != "first\n" || time.Since(began) != time.Second {
			t.Errorf("after Flush out has %q", out.String())
		}
		w.Close(time.Second)
		w.Flush(time.Second) // not a panic
	})
}

func TestEverythingIsWritten(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := spool.New(&out)
	for i := range 200 {
		fmt.Fprintln(w, i)
	}
	w.Close(time.Minute)
	if n := strings.Count(out.String(), "\n"); n != 200 || !strings.HasSuffix(out.String(), "\n199\n") {
		t.Errorf("%d lines", n)
	}
	fmt.Fprintln(w, "too late") // not a panic
}
