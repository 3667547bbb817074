package server_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
)

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
		time.Sleep(13 * time.Minute)
		if got := c.Ask("ECHO x"); got != "250 x" {
			w.T.Fatalf("%q", got)
		}
		used := time.Now()
		time.Sleep(13 * time.Minute)
		if got := c.Ask("NOOP"); got != "250 ok" {
			w.T.Fatalf("%q", got)
		}
		w.within(c, used, 14*time.Minute, "150 idle for 14m: ")
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
		w.within(c, began, 14*time.Minute, "150 idle for 14m: ")
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
		w.within(c, began, 59*time.Minute, "150 this session ends in 1m: one may last 1h")
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
			s.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) { return theirs, nil }
		}, func(w world) {
			c := w.connect().Seated("alice")
			began := time.Now()
			if got := c.Ask("OPEN"); got != "252 open" {
				w.T.Fatalf("%q", got)
			}
			time.Sleep(14 * time.Minute)
			go c.Write([]byte("x")) // the read of the device notices if it fails
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
			time.Sleep(13 * time.Minute)
			alice.Ask("ECHO x") // she is not idle
			alice.Line()        // 121 waiting 0
		}()
		w.within(bob, began, 17*time.Minute, "421 wait-timeout ")
	})
}

// The announced wait is longer than the idle limit, even if the operator changes that limit or switches it
// off.
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
