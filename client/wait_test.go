package client

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/fixtures"
)

func TestWaitingForTheSeat(t *testing.T) {
	t.Parallel()
	script := func(s *session) {
		r := honest()
		r.seat = []string{"120 position 2 holder bob", "120 position 1 holder bob"}
		r.login(s)
		s.send("235 welcome", "121 waiting 1")
	}
	var got []Notice
	d := dialer()
	d.OnNotice = func(n Notice) { got = append(got, n) }
	check(t, dialOnce(t, d, serverTLS(), script))
	if diff := cmp.Diff([]Notice{{120, "position 2 holder bob"}, {120, "position 1 holder bob"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestNoWait(t *testing.T) {
	t.Parallel()
	d := dialer()
	d.NoWait = true
	left := make(chan string, 1)
	err := dialOnce(t, d, serverTLS(), func(s *session) {
		r := honest()
		r.seat = []string{"120 position 1 holder bob"}
		r.login(s)
		left <- s.atEnd()
	})
	if !errors.Is(err, ErrBusy) || <-left != "QUIT\r\n" {
		t.Error(err)
	}
	if err := dialOnce(t, d, serverTLS(), honest().login); err != nil {
		t.Error(err) // the seat is free
	}
	r := honest()
	r.admission, r.seat = "takeover", []string{"120 position 1 holder bob", "235 welcome"}
	if err := dialOnce(t, d, serverTLS(), r.login); err != nil {
		t.Error(err) // the server evicts bob, so alice does not wait
	}
}

func TestCancelWhileWaiting(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(testContext(t))
	d := dialer()
	d.OnNotice = func(Notice) { cancel() }
	closed := make(chan string, 1)
	addr := serve(t, serverTLS(), func(s *session) {
		r := honest()
		r.seat = []string{"120 position 1 holder bob"}
		r.login(s)
		closed <- s.atEnd()
	})
	c, err := d.Dial(ctx, addr, alice)
	if !errors.Is(err, context.Canceled) || <-closed != "" {
		t.Error(c, err)
	}
}

// stalled dials a server that runs the script, in a bubble, and returns how long Dial took.
func stalled(t *testing.T, d *Dialer, script func(*session)) (after time.Duration, err error) {
	t.Helper()
	var all sync.WaitGroup
	d.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		config := serverTLS()
		config.SessionTicketsDisabled = true // a pipe has no buffer to write them to
		all.Go(func() { run(t, theirs, config, script) })
		return ours, nil
	}
	start := time.Now()
	c, err := d.Dial(t.Context(), "127.0.0.1:7443", alice)
	after = time.Since(start)
	if err == nil {
		c.Close()
	}
	all.Wait()
	return after, err
}

func TestLoginTimeout(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]func(*session){
		"no greeting":  func(s *session) { s.atEnd() },
		"no challenge": func(s *session) { s.line(); s.send("220 ready"); s.atEnd() },
		"no proof": func(s *session) {
			r := honest()
			r.proof, r.seat = func(string) []string { return []string{"334-"} }, nil
			r.login(s)
			s.atEnd()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if after, err := stalled(t, dialer(), script); !errors.Is(err, context.DeadlineExceeded) || after != 10*time.Second {
					t.Error(after, err)
				}
				d := dialer()
				d.LoginTimeout = time.Minute
				if after, err := stalled(t, d, script); !errors.Is(err, context.DeadlineExceeded) || after != time.Minute {
					t.Error(after, err)
				}
			})
		})
	}
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dialer()
		d.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go io.Copy(io.Discard, theirs)
			return ours, nil
		}
		start := time.Now()
		c, err := d.Dial(t.Context(), "127.0.0.1:7443", alice)
		var refused *ConnectError
		if !errors.As(err, &refused) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Error(c, err, time.Since(start))
		}
	})
}

// Only the context bounds the wait for the seat.
func TestTheWaitHasNoTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		after, err := stalled(t, dialer(), func(s *session) {
			r := honest()
			r.seat = []string{"120 position 1 holder bob"}
			r.login(s)
			time.Sleep(time.Hour)
			s.send("235 welcome")
		})
		if err != nil || after != time.Hour {
			t.Error(after, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "YQ==", "YR==", "YQ", "YWI=", "YW\nI=", "YWJj", "YW Jj", "-_--"} {
		f.Add(seed)
	}
	messages, err := fixtures.Seeds('S', fixtures.Symbols{"cnonce": "abc", "snonce": "def", "salt": "QQ==", "i": "4096"})
	check(f, err)
	for _, message := range messages {
		f.Add(b64(message))
	}
	f.Fuzz(func(t *testing.T, text string) {
		message, err := decode(text)
		if err == nil && b64(string(message)) != text {
			t.Fatalf("%q is not canonical, and was taken for %q", text, message)
		}
	})
}
