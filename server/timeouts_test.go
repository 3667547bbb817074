package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// pipes is a listener whose connections are net.Pipes, which synthetic time can wait for.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// world is a server in synthetic time.
type world struct {
	*harness.H
	l *pipes
}

// inSyntheticTime runs a test in a bubble where waiting takes no time.
func inSyntheticTime(t *testing.T, configure func(*server.Server), test func(w world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := world{l: &pipes{make(chan net.Conn), make(chan struct{})}}
		w.H = harness.StartOn(t, func(s *server.Server) {
			certify(s)
			if configure != nil {
				configure(s)
			}
		}, func(inner net.Listener) net.Listener {
			_ = inner.Close()
			return w.l
		})
		test(w)
	})
}

// certify gives s a certificate for the year that it is: the harness's own is for the one in which it
// is first asked for, which synthetic time begins with.
func certify(s *server.Server) {
	pair := testserver.NewCertificate(testserver.ECDSA, func(*x509.Certificate) {})
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
}

func (w world) connect() *harness.Conn {
	ours, theirs := net.Pipe()
	w.l.conns <- theirs
	return w.ConnectOn(context.Background(), ours)
}

// within checks that the next line is as expected, and came when it should.
func (w world) within(c *harness.Conn, began time.Time, want time.Duration, line string) {
	w.T.Helper()
	got := c.Line()
	if took := time.Since(began); !strings.HasPrefix(got, line) || took < want || took > want+want/8 {
		w.T.Fatalf("%q after %v, want %q after %v", got, took, line, want)
	}
}

func TestLoginTimeout(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		began := time.Now()
		c := w.connect().Greeted()
		time.Sleep(9 * time.Second)
		if got := c.Ask("NOOP"); got != "250 ok" {
			w.T.Fatalf("%q", got)
		}
		w.within(c, began, 10*time.Second, "421 login-timeout ")
	})
}

func TestHandshakeTimeout(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		ours, theirs := net.Pipe()
		began := time.Now()
		w.l.conns <- theirs
		if n, err := ours.Read(make([]byte, 1)); n > 0 || err == nil || time.Since(began) != 10*time.Second {
			w.T.Fatalf("%d octets, %v after %v", n, err, time.Since(began))
		}
		synctest.Wait()
		if closed := w.Log.Records("conn.close"); len(closed) != 1 || closed[0].Str("reason") != "login-timeout" {
			w.T.Fatalf("%v", closed)
		}
	})
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		c := w.connect().Seated("alice")
		time.Sleep(14 * time.Minute)
		if got := c.Ask("ECHO x"); got != "250 x" {
			w.T.Fatalf("%q", got)
		}
		used := time.Now()
		time.Sleep(14 * time.Minute)
		if got := c.Ask("NOOP"); got != "250 ok" {
			w.T.Fatalf("%q", got)
		}
		w.within(c, used, 15*time.Minute, "421 idle ")
	})
}

func TestBodyMustArriveWithinTheIdleTime(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		c := w.connect().Seated("alice")
		began := time.Now()
		c.Send("BODY 100 ECHO\r\n")
		var drip sync.WaitGroup
		drip.Go(func() {
			for range 100 {
				time.Sleep(time.Minute)
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
			}
		})
		w.within(c, began, 15*time.Minute, "421 idle ")
		_ = c.NetConn().Close()
		drip.Wait()
	})
}

func TestSessionLimit(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, func(s *server.Server) { s.Limits.Session = time.Hour }, func(w world) {
		c := w.connect().Seated("alice")
		began := time.Now()
		for range 5 {
			time.Sleep(11 * time.Minute)
			if got := c.Ask("ECHO x"); got != "250 x" {
				w.T.Fatalf("%q", got)
			}
		}
		w.within(c, began, time.Hour, "421 session-limit ")
	})
}

// A stream is idle when no byte has gone either way for so long, and the session's limit is its, too.
func TestStreamIdleTime(t *testing.T) {
	t.Parallel()
	for _, limit := range []time.Duration{0, 20 * time.Minute} {
		var device net.Conn
		inSyntheticTime(t, func(s *server.Server) {
			ours, theirs := net.Pipe()
			device, s.Limits.Session = ours, limit
			s.Backend = func(context.Context) (net.Conn, error) { return theirs, nil }
		}, func(w world) {
			c := w.connect().Seated("alice")
			began := time.Now()
			if got := c.Ask("OPEN"); got != "252 open" {
				w.T.Fatalf("%q", got)
			}
			time.Sleep(14 * time.Minute)
			go c.Send("x")
			if _, err := device.Read(make([]byte, 2)); err != nil {
				w.T.Fatalf("%v", err)
			}
			want, why := 29*time.Minute, "idle"
			if limit > 0 {
				want, why = limit, "session-limit"
			}
			got := c.Line()
			took := time.Since(began)
			synctest.Wait() // for the record
			closed := w.Log.Records("session.close")
			if !strings.HasPrefix(got, "no close_notify: ") || took != want || closed[0].Str("reason") != why {
				w.T.Fatalf("%q after %v: %v", got, took, closed)
			}
		})
	}
}

func TestQueueWait(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		alice := w.connect().Seated("alice")
		began := time.Now()
		bob := w.connect().Greeted().LogIn("bob", "")
		if got := bob.Line(); got != "120 position 1 holder alice" {
			w.T.Fatalf("%q", got)
		}
		go func() {
			alice.Line() // 121 waiting 1
			time.Sleep(14 * time.Minute)
			alice.Ask("ECHO x") // she is not idle
			alice.Line()        // 121 waiting 0
		}()
		w.within(bob, began, 17*time.Minute, "421 wait-timeout ")
	})
}

// The wait outlasts an idle holder also where the operator allows more or no idleness.
func TestAnnouncedTimeouts(t *testing.T) {
	t.Parallel()
	for line, configure := range map[string]func(*server.Server){
		"idle=900 vanish=30 session=0 wait=1020":  nil,
		"idle=3600 vanish=30 session=0 wait=3720": func(s *server.Server) { s.Limits.Idle = time.Hour },
		"idle=0 vanish=30 session=0 wait=0":       func(s *server.Server) { s.Limits.Idle = -1 },
		"idle=900 vanish=0 session=0 wait=0":      func(s *server.Server) { s.Limits.Vanish, s.Admission = -1, server.Queue{Wait: -1} },
		"idle=900 vanish=30 session=7 wait=60":    func(s *server.Server) { s.Limits.Session, s.Admission = 7*time.Second, server.Takeover{} },
		"idle=900 vanish=1 session=0 wait=0":      func(s *server.Server) { s.Limits.Vanish, s.Admission = time.Millisecond, server.Reject{} },
	} {
		inSyntheticTime(t, configure, func(w world) {
			c := w.connect().Greeted()
			for c.Send("EHLO x\r\n"); ; {
				switch got := c.Line(); {
				case strings.HasPrefix(got, "250 "):
					w.T.Fatalf("no %q", line)
				case got == "250-TIMEOUTS "+line:
					return
				}
			}
		})
	}
}

func TestTakeoverWait(t *testing.T) {
	t.Parallel()
	stuck := server.HandlerFunc(func(context.Context, *server.Request) (r protocol.Reply, err error) {
		time.Sleep(2 * time.Minute)
		return r, nil
	})
	inSyntheticTime(t, func(s *server.Server) { s.Admission, s.Handler = server.Takeover{}, stuck }, func(w world) {
		alice := w.connect().Seated("alice")
		alice.Send("STICK\r\n")
		synctest.Wait() // once she is evicted no request begins
		began := time.Now()
		bob := w.connect().Greeted().LogIn("bob", "")
		if got := bob.Line(); got != "120 position 1 holder alice" {
			w.T.Fatalf("%q", got)
		}
		w.within(bob, began, time.Minute, "421 wait-timeout ")
		if got := alice.Line(); got != "250 " {
			w.T.Fatalf("%q", got)
		}
		if got := alice.Line(); !strings.HasPrefix(got, "421 evicted ") {
			w.T.Fatalf("%q", got)
		}
	})
}

func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	hang := server.HandlerFunc(func(ctx context.Context, r *server.Request) (reply protocol.Reply, err error) {
		if r.Verb == "HANG" {
			<-ctx.Done()
		}
		return reply, nil
	})
	for limit, want := range map[time.Duration]time.Duration{0: 5 * time.Minute, 20 * time.Millisecond: 20 * time.Millisecond} {
		inSyntheticTime(t, func(s *server.Server) { s.Handler, s.Limits.Request = hang, limit }, func(w world) {
			c := w.connect().Seated("alice")
			for range 2 {
				if got := c.Ask("QUICK"); got != "250 " {
					w.T.Fatalf("%q", got)
				}
				time.Sleep(50 * time.Millisecond) // the watch over that one isn't due yet
				began := time.Now()
				c.Send("HANG\r\n")
				w.within(c, began, want, "554 failed ")
			}
		})
	}
}

func TestStuckHandlerIsNamed(t *testing.T) {
	t.Parallel()
	stuck := server.HandlerFunc(func(context.Context, *server.Request) (r protocol.Reply, err error) {
		time.Sleep(10 * time.Minute)
		return r, nil
	})
	inSyntheticTime(t, func(s *server.Server) { s.Handler = stuck }, func(w world) {
		c := w.connect().Seated("alice")
		c.Send("STICK\r\n")
		time.Sleep(5*time.Minute + 4*time.Second)
		if named := w.Log.Records("handler.stuck"); len(named) != 0 {
			w.T.Fatalf("named before its time: %v", named)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		named := w.Log.Records("handler.stuck")
		if len(named) != 1 || named[0].Str("user") != "alice" || named[0].Str("verb") != "STICK" || named[0]["n"] != 1.0 {
			w.T.Fatalf("%v", named)
		}
		if got := c.Line(); !strings.HasPrefix(got, "554 failed ") {
			w.T.Fatalf("%q", got)
		}
	})
}

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

// Three guesses are free, and three more make a penalty of 15 s. Whoever is told of it has not left without a
// login: no number of such connections makes it longer, or another.
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
