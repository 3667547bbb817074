package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/capability"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/admission"
)

// shared is a seat that two servers share: the one under test, and one that exists only here.
type shared struct {
	mu     sync.Mutex
	queue  []*place // the first one has the seat
	tokens int64
	lost   bool  // Check fails
	refuse error // of Enter
}

// place is a place in the queue. The other server's clients have no functions.
type place struct {
	admission.Client
	in    *shared
	token int64
}

func (s *shared) Enter(_ context.Context, c admission.Client) (admission.Place, error) {
	p := s.foreign(c.User)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Client = c
	return p, s.refuse
}

// foreign adds a client of the other server.
func (s *shared) foreign(user string) *place {
	defer s.changed()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens += 10
	p := &place{admission.Client{User: user}, s, s.tokens}
	s.queue = append(s.queue, p)
	return p
}

// changed tells the clients of the server under test.
func (s *shared) changed() {
	s.mu.Lock()
	all := slices.Clone(s.queue)
	s.mu.Unlock()
	for _, p := range all {
		if p.Changed != nil {
			p.Changed()
		}
	}
}

func (s *shared) Status() (now capability.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 {
		now.Holder, now.Waiting = s.queue[0].User, len(s.queue)-1
	}
	return now
}

func (p *place) Position() (n int, holder string) {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	return slices.Index(p.in.queue, p), p.in.queue[0].User
}

func (p *place) Token() int64 { return p.token }

func (p *place) Check() error {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	if p.in.lost {
		return errors.New("the lease is over")
	}
	return nil
}

func (p *place) Leave() {
	defer p.in.changed()
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	p.in.queue = slices.DeleteFunc(p.in.queue, func(q *place) bool { return q == p })
}

// sharing runs a test of a server whose seat is shared.
func sharing(t *testing.T, configure func(*server.Server), test func(w world, s *shared)) {
	t.Helper()
	seat := &shared{}
	inSyntheticTime(t, func(s *server.Server) {
		s.Shared = seat
		if configure != nil {
			configure(s)
		}
	}, func(w world) { test(w, seat) })
}

// A client waits for the clients of other servers, and passes the seat on to them.
func TestSharedSeatIsInTurn(t *testing.T) {
	t.Parallel()
	sharing(t, nil, func(w world, s *shared) {
		zoe, yan := s.foreign("zoe"), s.foreign("yan")
		bob := w.connect().Greeted().LogIn("bob", "")
		expect(w, bob, "", "120 position 2 holder zoe")
		carol := w.connect().Greeted().LogIn("carol", "")
		expect(w, carol, "", "120 position 3 holder zoe")
		asks := w.connect().Greeted()
		_, final := asks.Challenged("alice")
		asks.Send(final + "\r\nc3RhdA==\r\n") // stat
		expect(w, asks, "", "334 …", "250-holder zoe", "250-since …", "250-idle …", "250-waiting 3", "250-served 0", "250 uptime 0")
		zoe.Leave()
		expect(w, bob, "", "120 position 1 holder yan")
		expect(w, carol, "", "120 position 2 holder yan")
		yan.Leave()
		expect(w, bob, "", "235 welcome", "121 waiting 1")
		expect(w, carol, "", "120 position 1 holder bob")
		xi := s.foreign("xi")
		expect(w, bob, "", "121 waiting 2")
		expect(w, carol, "QUIT\r\n", "221 bye") // and leaves no ghost
		expect(w, bob, "", "121 waiting 1")
		if n, holder := xi.Position(); n != 1 || holder != "bob" {
			w.T.Fatalf("%d, %s", n, holder)
		}
		expect(w, bob, "QUIT\r\n", "221 bye")
		synctest.Wait()
		if n, _ := xi.Position(); n != 0 {
			w.T.Fatalf("the seat is not passed on: %d", n)
		}
		if open := w.Log.Records("session.open"); len(open) != 1 || open[0]["token"] != 30.0 {
			w.T.Fatalf("%v", open)
		}
	})
}

// The place is kept until the handler has returned.
func TestSharedSeatIsTaken(t *testing.T) {
	t.Parallel()
	var release chan struct{}
	var token int64
	sharing(t, func(s *server.Server) {
		release = make(chan struct{})
		s.Handler = server.HandlerFunc(func(_ context.Context, r *server.Request) (protocol.Reply, error) {
			token = r.Token
			<-release
			return protocol.Reply{}, nil
		})
	}, func(w world, s *shared) {
		alice := w.connect().Seated("alice")
		alice.Send("WORK\r\n")
		synctest.Wait()
		zoe := s.foreign("zoe")
		s.queue[0].Evict("zoe", "zoe took over")
		time.Sleep(time.Minute)
		if n, _ := zoe.Position(); n != 1 || token != 10 {
			w.T.Fatalf("position %d, token %d", n, token)
		}
		close(release)
		expect(w, alice, "", "250 ", "421 evicted zoe took over")
		synctest.Wait()
		if n, _ := zoe.Position(); n != 0 {
			w.T.Fatalf("the seat is not passed on: %d", n)
		}
		if closed := w.Log.Records("session.close"); len(closed) != 1 || closed[0].Str("by") != "zoe" {
			w.T.Fatalf("%v", closed)
		}
	})
}

// A client that may not have the seat any more reaches neither handler nor backend.
func TestSharedSeatIsLost(t *testing.T) {
	t.Parallel()
	var device net.Conn
	sharing(t, func(s *server.Server) {
		theirs, ours := net.Pipe()
		device = theirs
		s.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) { return ours, nil }
	}, func(w world, s *shared) {
		alice := w.connect().Seated("alice")
		expect(w, alice, "STREAM\r\n", "152 stream")
		expect(w, alice, "DATA 2\r\nhi")
		take(w, device, "hi")
		s.mu.Lock()
		s.lost = true
		s.mu.Unlock()
		expect(w, alice, "DATA 5\r\nlater", "554 failed the request failed")
		if late, err := io.ReadAll(device); len(late) > 0 || err != nil {
			w.T.Fatalf("the device gets %q (%v)", late, err)
		}
		expect(w, alice, "DATA 0\r\n")
		expect(w, alice, "STREAM\r\nECHO hi\r\n", "554 failed the request failed", "554 failed the request failed")
	})
}

// A client that gets no place gets the reason.
func TestSharedSeatIsRefused(t *testing.T) {
	t.Parallel()
	sharing(t, nil, func(w world, s *shared) {
		s.refuse = &protocol.ReplyError{Code: protocol.CodeClosing, Keyword: protocol.KeywordBusy, Text: "there is no order"}
		expect(w, w.connect().Greeted().LogIn("bob", ""), "", "421 busy there is no order")
	})
}

// The race detector watches: the operator may say something before the server serves.
func TestSayBeforeServe(t *testing.T) {
	t.Parallel()
	s := &server.Server{Shared: &shared{}}
	said := make(chan error)
	go func() { said <- s.Say("hello") }()
	if _, err := s.Evict(nil, "operator", ""); !errors.Is(err, server.ErrNobodySeated) {
		t.Error(err)
	}
	_ = s.Close()
	if err := <-said; !errors.Is(err, server.ErrNobodySeated) {
		t.Error(err)
	}
}
