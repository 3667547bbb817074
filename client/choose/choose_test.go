package choose_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/choose"
	"github.com/sallyport/sallyport/protocol"
)

// play is a chooser. The test plays its directory and its gates.
type play struct {
	choose.Chooser[string]
	directory chan []choose.Gate
	dials     chan *dial
	closed    chan string
	ended     chan error // of Seat
	got       string
}

// dial is an attempt at a gate.
type dial struct {
	gate   choose.Gate
	wait   bool
	ctx    context.Context
	answer chan error // nil means a seat
}

// newPlay starts a chooser. The directory first has the gates in all.
func newPlay(t *testing.T, with func(*choose.Chooser[string]), all ...choose.Gate) *play {
	p := &play{directory: make(chan []choose.Gate, 9), dials: make(chan *dial), closed: make(chan string, 9), ended: make(chan error, 1)}
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	p.Chooser = choose.Chooser[string]{
		Follow: func(ctx context.Context, on func([]choose.Gate)) error {
			for {
				on(all)
				select {
				case all = <-p.directory:
				case <-ctx.Done():
					return nil
				}
			}
		},
		Dial: func(ctx context.Context, g choose.Gate, wait bool) (string, error) {
			d := &dial{g, wait, ctx, make(chan error, 1)}
			select {
			case p.dials <- d:
				select { // also after the end of ctx
				case err := <-d.answer:
					if err != nil {
						return "", err
					}
					return g.Rig + " " + g.Addr, nil
				case <-over:
					return "", errors.New("the test is over")
				}
			case <-ctx.Done():
				return "", ctx.Err()
			}
		},
		Close: func(s string) { p.closed <- s },
		IntN:  func(int) int { return 0 },
	}
	if with != nil {
		with(&p.Chooser)
	}
	go func() {
		var err error
		p.got, _, err = p.Seat(t.Context())
		p.ended <- err
	}()
	return p
}

// next waits for an attempt.
func (p *play) next(t *testing.T) *dial {
	t.Helper()
	select {
	case d := <-p.dials:
		return d
	case err := <-p.ended:
		t.Fatalf("it has ended with %q, %v", p.got, err)
	case <-time.After(time.Minute):
		t.Fatal("it tries no rig")
	}
	return nil
}

// expect waits for an attempt at a rig.
func (p *play) expect(t *testing.T, rig string, wait bool) *dial {
	t.Helper()
	d := p.next(t)
	if d.gate.Rig != rig || d.wait != wait {
		t.Fatalf("it tries %s, wait %v; wanted %s, %v", d.gate.Rig, d.wait, rig, wait)
	}
	return d
}

// end waits for the result.
func (p *play) end(t *testing.T, want string) (err error) {
	t.Helper()
	select {
	case err = <-p.ended:
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	if p.got != want {
		t.Errorf("it has %q, wanted %q (%v)", p.got, want, err)
	}
	return err
}

func free(name string) choose.Gate { return choose.Gate{Rig: name, Addr: "1", Revision: 1} }

func taken(name string, waiting int) choose.Gate {
	return choose.Gate{Rig: name, Addr: "1", Revision: 1, Holder: "bob", Waiting: waiting}
}

func changed(g choose.Gate) choose.Gate { g.Revision++; return g }

func scene(t *testing.T, name string, run func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, run) })
}

func TestSeat(t *testing.T) {
	t.Parallel()
	scene(t, "free ones first", func(t *testing.T) {
		p := newPlay(t, nil, taken("a", 0), free("b"), free("c"))
		first := p.next(t)
		first.answer <- client.ErrBusy
		second := p.next(t)
		if first.wait || second.wait || first.gate.Rig == "a" || second.gate.Rig == "a" || first.gate.Rig == second.gate.Rig {
			t.Error(first, second)
		}
		second.answer <- nil
		if err := p.end(t, second.gate.Rig+" 1"); err != nil {
			t.Error(err)
		}
	})
	scene(t, "the queue that two gates share", func(t *testing.T) {
		p := newPlay(t, nil, taken("a", 2), taken("a", 2), taken("b", 3))
		if d := p.next(t); d.gate.Rig != "a" || !d.wait {
			t.Error("two wait for a, at either gate", d.gate, d.wait)
		} else {
			d.answer <- nil
		}
		if err := p.end(t, "a 1"); err != nil {
			t.Error(err)
		}
	})
	scene(t, "the shortest queue", func(t *testing.T) {
		p := newPlay(t, nil, taken("a", 2), taken("b", 3), taken("b", 3), taken("c", 2), taken("d", 2))
		for range 3 {
			if d := p.next(t); d.gate.Rig == "b" || !d.wait {
				t.Error("three wait for b, two elsewhere", d.gate, d.wait)
			} else {
				d.answer <- client.ErrBusy // the queue is full
			}
		}
		p.expect(t, "b", true).answer <- nil
		if err := p.end(t, "b 1"); err != nil {
			t.Error(err)
		}
	})
	scene(t, "keeps its place while it tries another", func(t *testing.T) {
		p := newPlay(t, nil, taken("a", 0), taken("b", 1))
		place := p.expect(t, "a", true)
		p.directory <- []choose.Gate{taken("a", 1), changed(free("b"))}
		p.expect(t, "b", false).answer <- client.ErrBusy
		p.directory <- []choose.Gate{taken("a", 1), changed(taken("b", 1))}
		synctest.Wait()
		if place.ctx.Err() != nil {
			t.Error("it has left the queue")
		}
		place.answer <- nil
		if err := p.end(t, "a 1"); err != nil {
			t.Error(err)
		}
	})
	scene(t, "tries again where the directory was late", func(t *testing.T) {
		p := newPlay(t, nil, taken("a", 0), free("b"))
		p.expect(t, "b", false).answer <- client.ErrBusy
		p.expect(t, "a", true)
		begin := time.Now()
		p.expect(t, "b", false).answer <- client.ErrBusy
		again := p.expect(t, "b", false)
		if passed := time.Since(begin); passed < time.Second || passed > 10*time.Second {
			t.Error(passed)
		}
		again.answer <- nil
		synctest.Wait()
	})
	for _, first := range []string{"a", "b"} {
		scene(t, "both granted, first "+first, func(t *testing.T) {
			p := newPlay(t, nil, taken("a", 0), taken("b", 1))
			granted := map[string]*dial{"a": p.expect(t, "a", true)}
			p.directory <- []choose.Gate{taken("a", 1), changed(free("b"))}
			granted["b"] = p.expect(t, "b", false)
			granted[first].answer <- nil
			synctest.Wait()
			second := map[string]string{"a": "b", "b": "a"}[first]
			select {
			case err := <-p.ended:
				t.Fatal("it has ended before the other attempt", err)
			case <-granted[second].ctx.Done():
			case <-time.After(time.Minute):
				t.Fatal("the other attempt goes on")
			}
			granted[second].answer <- nil
			if err := p.end(t, first+" 1"); err != nil || len(p.closed) != 1 || <-p.closed != second+" 1" {
				t.Error("the later one is not given back", err)
			}
		})
	}
	scene(t, "a gate that stops", func(t *testing.T) {
		p := newPlay(t, nil, taken("a", 0), taken("b", 1))
		p.expect(t, "a", true).answer <- &protocol.ReplyError{Code: protocol.CodeClosing, Keyword: protocol.KeywordShutdown}
		p.expect(t, "b", true).answer <- nil
		if err := p.end(t, "b 1"); err != nil {
			t.Error(err)
		}
	})
	scene(t, "a rig that comes later", func(t *testing.T) {
		p := newPlay(t, func(c *choose.Chooser[string]) { c.Tags = map[string]string{"k": "v"} }, choose.Gate{Rig: "a", Holder: "bob", Tags: map[string]string{"k": "v"}}, free("x"))
		place := p.expect(t, "a", true)
		p.directory <- []choose.Gate{{Rig: "b", Addr: "2", Tags: map[string]string{"k": "v"}}}
		p.expect(t, "b", false).answer <- nil
		<-place.ctx.Done()
		place.answer <- place.ctx.Err()
		if err := p.end(t, "b 2"); err != nil || len(p.closed) > 0 {
			t.Error(err)
		}
	})
}

func TestNoSeat(t *testing.T) {
	t.Parallel()
	connect := &client.ConnectError{Addr: "x:1", Err: errors.New("refused")}
	for _, c := range []struct {
		name   string
		with   func(*choose.Chooser[string])
		all    []choose.Gate
		answer error // of each gate
		dials  int
		want   error
		says   string
	}{
		{"an empty directory", nil, nil, nil, 0, choose.ErrNoRig, "there is no rig in the directory"},
		{
			"no such tags", func(c *choose.Chooser[string]) { c.Tags = map[string]string{"k": "v", "a": "b"} },
			[]choose.Gate{{Rig: "x", Tags: map[string]string{"k": "v"}}, free("y")},
			nil, 0, choose.ErrNoRig, "no rig has a=b,k=v; there are: x (k=v), y",
		},
		{"all taken", func(c *choose.Chooser[string]) { c.NoWait = true }, []choose.Gate{taken("a", 0), taken("b", 1)}, nil, 0, client.ErrBusy, "none of 2 rigs is free"},
		{"all taken meanwhile", func(c *choose.Chooser[string]) { c.NoWait = true }, []choose.Gate{free("a"), free("b")}, client.ErrBusy, 2, client.ErrBusy, "none of 2 rigs is free: rig a: "},
		{"full queues", nil, []choose.Gate{taken("a", 0), taken("b", 1)}, fmt.Errorf("%w: full", client.ErrBusy), 2, client.ErrBusy, "no rig has a seat to give: rig a: client: the seat is taken: full; rig b: "},
		{"none reached", nil, []choose.Gate{free("a"), taken("b", 1)}, connect, 3, connect, "no rig has a seat to give: rig a: "},
		{"a wrong password", nil, []choose.Gate{free("a"), free("b"), taken("c", 1)}, client.ErrLoginFailed, 1, client.ErrLoginFailed, "rig b: client: login failed"},
		{"an impostor", nil, []choose.Gate{taken("a", 1), taken("b", 1)}, client.ErrServerUnverified, 1, client.ErrServerUnverified, "rig b: "},
		{"waited too long", nil, []choose.Gate{taken("a", 1), taken("b", 2)}, &protocol.ReplyError{Code: protocol.CodeClosing, Keyword: protocol.KeywordWaitTimeout}, 1, nil, "rig a: "},
	} {
		scene(t, c.name, func(t *testing.T) {
			p := newPlay(t, c.with, c.all...)
			dials := 0
			for {
				select {
				case d := <-p.dials:
					dials++
					d.answer <- c.answer
					continue
				case <-time.After(time.Minute):
					t.Error("it does not end")
				case err := <-p.ended:
					if dials != c.dials || c.want != nil && !errors.Is(err, c.want) || !strings.HasPrefix(fmt.Sprint(err), c.says) || strings.Contains(err.Error(), "\n") {
						t.Errorf("%d dials, %v", dials, err)
					}
				}
				break
			}
		})
	}
}

func TestSeatEnds(t *testing.T) {
	t.Parallel()
	signal, away := errors.New("signal"), errors.New("etcd is away")
	scene(t, "with its context", func(t *testing.T) {
		p := newPlay(t, nil, taken("a", 0))
		p.expect(t, "a", true).answer <- client.ErrLoginFailed
		_ = p.end(t, "")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { d := <-p.dials; cancel(signal); <-d.ctx.Done(); d.answer <- d.ctx.Err() }()
		if _, _, err := p.Seat(ctx); !errors.Is(err, signal) {
			t.Error(err)
		}
	})
	scene(t, "without a directory", func(t *testing.T) {
		p := newPlay(t, func(c *choose.Chooser[string]) {
			c.Follow = func(context.Context, func([]choose.Gate)) error { return away }
		})
		if err := p.end(t, ""); !errors.Is(err, away) {
			t.Error(err)
		}
	})
}

func TestInTurn(t *testing.T) {
	t.Parallel()
	all := []choose.Gate{{Rig: "a", Addr: "1"}, {Rig: "b", Addr: "2"}, {Rig: "a", Addr: "3"}, {Rig: "a", Addr: "4"}}
	gates, err := choose.Named(all, "a")
	if err != nil || len(gates) != 3 {
		t.Fatal(gates, err)
	}
	gone := &client.ConnectError{Addr: "x:1", Err: errors.New("refused")}
	for _, c := range []struct {
		answers []error
		want    error
	}{
		{[]error{nil}, nil},
		{[]error{gone, nil}, nil},
		{[]error{gone, errors.New("connection lost"), nil}, nil},
		{[]error{client.ErrBusy}, client.ErrBusy},
		{[]error{gone, client.ErrLoginFailed}, client.ErrLoginFailed},
		{[]error{gone, gone, gone}, gone},
	} {
		var tried []string
		_, at, err := choose.InTurn(t.Context(), gates, func(g choose.Gate) (int, error) {
			tried = append(tried, g.Addr)
			return 0, c.answers[len(tried)-1]
		})
		if !errors.Is(err, c.want) || !slices.Equal(tried, []string{"1", "3", "4"}[:len(c.answers)]) || err == nil && at.Addr != tried[len(tried)-1] {
			t.Error(c.answers, tried, at, err)
		}
	}
	if _, err := choose.Named(all, "c"); !errors.Is(err, choose.ErrNoRig) || err.Error() != `there is no rig "c" in the directory; there are: a, b` {
		t.Error(err)
	}
	if _, err := choose.Named(nil, "c"); err == nil || err.Error() != `there is no rig "c" in the directory, which is empty` {
		t.Error(err)
	}
}
