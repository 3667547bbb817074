package server_test

import (
	"strings"
	"testing"
	"time"
)

func TestWriteTimeout(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		c := w.connect().Seated("alice")
		began := time.Now()
		c.Send("ECHO nobody reads this\r\n")
		for len(w.Log.Records("session.close")) == 0 {
			time.Sleep(time.Second)
		}
		took, why := time.Since(began), w.Log.Records("session.close")[0].Str("reason")
		if took < 10*time.Second || took > 12*time.Second || why != "write" {
			w.T.Fatalf("%s after %v", why, took)
		}
		if got := c.Line(); !strings.HasPrefix(got, "no close_notify: ") {
			w.T.Fatalf("%q after a write that failed", got)
		}
	})
}

// A peer has the whole of its time for each record, also where it has just taken another one. The close_notify
// is a record as any other, though crypto/tls would give it 5 s.
func TestCloseNotifyHasTheWholeWriteTime(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		c := w.connect().Seated("alice")
		if got := c.Ask("QUIT"); got != "221 bye" {
			w.T.Fatalf("%q", got)
		}
		time.Sleep(9500 * time.Millisecond)
		if got := c.Line(); got != "EOF" {
			w.T.Fatalf("%q, though the write time-out of 10 s was not over", got)
		}
	})
}

func TestWriteTimeoutIsNotCutShort(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		c := w.connect().Seated("alice")
		if got := c.Ask("ECHO read at once"); got != "250 read at once" {
			w.T.Fatalf("%q", got)
		}
		time.Sleep(time.Second)
		c.Send("ECHO read late\r\n")
		time.Sleep(9500 * time.Millisecond)
		if got := c.Line(); got != "250 read late" {
			w.T.Fatalf("%q, though the write time-out of 10 s was not over", got)
		}
	})
}
