package client

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol"
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
	for _, lastWord := range []string{"", "nowait"} {
		r := honest()
		r.capabilities, r.lastWord = []string{"250-LAST stat " + lastWord}, lastWord
		r.admission, r.seat = "takeover", []string{"120 position 1 holder bob", "235 welcome"}
		if err := dialOnce(t, d, serverTLS(), r.login); err != nil {
			t.Error(err) // the server evicts bob, so alice does not wait
		}
	}
	r := honest()
	r.capabilities, r.lastWord = []string{"250-LAST nowait"}, "nowait"
	r.seat = []string{"421 busy bob has had the seat since 2026-01-02T03:04:05Z, waiting: 0"}
	if err := dialOnce(t, d, serverTLS(), r.login); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "bob") {
		t.Error(err)
	}
}

func TestStat(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		offered bool
		answer  []string
		text    string
		err     error
	}{
		"of a seat":         {true, []string{"250-holder bob", "250 waiting 1"}, "holder bob\nwaiting 1", nil},
		"of an old server":  {false, nil, "", ErrNoStat},
		"while it drains":   {true, []string{"421 shutdown the server is shutting down"}, "", &protocol.ReplyError{Code: 421}},
		"answered by a 235": {true, []string{"235 welcome"}, "", ErrServerUnverified},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := honest()
			r.lastWord, r.seat = "stat", test.answer
			if test.offered {
				r.capabilities = []string{"250-LAST nowait stat"}
			}
			reply, err := dialer().Stat(testContext(t), serve(t, serverTLS(), r.login), alice)
			_, refused := errors.AsType[*protocol.ReplyError](err)
			_, refusal := errors.AsType[*protocol.ReplyError](test.err)
			if reply.Text != test.text || refused != refusal || !refusal && !errors.Is(err, test.err) {
				t.Error(reply, err)
			}
		})
	}
}

// Stat waits no longer than LoginTimeout, because there is no seat to wait for.
func TestStatTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dialer()
		d.DialContext = overPipe(t, func(s *session) {
			r := honest()
			r.capabilities, r.lastWord, r.seat = []string{"250-LAST stat"}, "stat", nil
			r.login(s)
			s.atEnd()
		})
		start := time.Now()
		reply, err := d.Stat(t.Context(), "127.0.0.1:7443", alice)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Error(reply, err, time.Since(start))
		}
	})
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

// overPipe makes connections to a server that runs the script, for a Dialer in a bubble.
func overPipe(t *testing.T, script func(*session)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		config := serverTLS()
		config.SessionTicketsDisabled = true // a pipe has no buffer to write them to
		go run(t, theirs, config, script)
		return ours, nil
	}
}

// stalled dials a server that runs the script, in a bubble, and returns how long Dial took.
func stalled(t *testing.T, d *Dialer, script func(*session)) (after time.Duration, err error) {
	t.Helper()
	d.DialContext = overPipe(t, script)
	start := time.Now()
	c, err := d.Dial(t.Context(), "127.0.0.1:7443", alice)
	after = time.Since(start)
	if err == nil {
		c.Close()
	}
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
