package server_test

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/server"
)

// Three guesses are free, and three more make a penalty of 15 s. A client that is refused with 421 has not
// left without a login: no number of such connections makes the penalty longer, or begins another.
func TestThrottling(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, func(s *server.Server) { s.Limits.FailedLogins = 3 }, func(w world) {
		guess := func(want string) {
			c := w.connect().Greeted()
			got := c.Ask("AUTH SCRAM-SHA-256 biwsbj1hbGljZSxyPW5vbmNl")
			if strings.HasPrefix(got, "334 ") {
				got = c.Ask(c.WrongProof(got))
			}
			if !strings.HasPrefix(got, want) {
				w.T.Fatalf("%q, want %s", got, want)
			}
		}
		for range 6 {
			guess("535 ")
		}
		for range 20 {
			guess("421 throttled ")
		}
		time.Sleep(14 * time.Second)
		guess("421 throttled ")
		time.Sleep(time.Second)
		guess("535 ")
	})
}

// A source that leaves again and again is turned away without an octet, until its penalty is over.
func TestLeaversAreTurnedAway(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		knock := func() bool {
			ours, theirs := net.Pipe()
			defer ours.Close()
			w.l.conns <- theirs
			before := len(w.Log.Records("conn.accept"))
			_, _ = ours.Write([]byte("no TLS"))
			if n, _ := ours.Read(make([]byte, 1)); n > 0 {
				w.T.Fatalf("answered")
			}
			synctest.Wait()
			return len(w.Log.Records("conn.accept")) > before
		}
		for i := range 15 {
			if !knock() {
				w.T.Fatalf("turned away at number %d", i)
			}
		}
		for range 20 {
			if knock() {
				w.T.Fatalf("not turned away")
			}
		}
		time.Sleep(16 * time.Second)
		if !knock() {
			w.T.Fatalf("turned away after the penalty")
		}
		if got := w.Log.Records("conn.refuse"); len(got) != 1 || got[0]["count"] != 20.0 {
			w.T.Fatalf("%v", got)
		}
	})
}
