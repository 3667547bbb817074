package choose_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/choose"
)

// lab is a simulated lab, in which a rig has a queue and one gate. Its directory lags as a real one does.
type lab struct {
	mu      sync.Mutex
	rigs    map[string]*rig
	names   []string
	follows map[int]func([]choose.Gate)
	next    int
	stopped chan struct{}
}

type rig struct {
	holder  string
	queue   []*waiter
	since   time.Time   // of the last change of holder
	shown   choose.Gate // in the directory
	shownAt time.Time
}

type waiter struct {
	who     string
	granted chan struct{}
}

// seat is a seat of a simulated gate.
type seat struct {
	rig, who string
}

// The times of the directory are those of server/fleet.
const (
	settle     = 20 * time.Millisecond
	writeEvery = 500 * time.Millisecond
)

func newLab(names ...string) *lab {
	l := &lab{rigs: map[string]*rig{}, names: names, follows: map[int]func([]choose.Gate){}, stopped: make(chan struct{})}
	for _, name := range names {
		l.rigs[name] = &rig{shown: choose.Gate{Rig: name, ID: "0", Addr: name + ":1", Revision: 1, Tags: map[string]string{"name": name}}}
	}
	return l
}

// run keeps the directory until stop.
func (l *lab) run() {
	for tick := time.NewTicker(settle); ; {
		select {
		case <-l.stopped:
			tick.Stop()
			return
		case <-tick.C:
			l.write()
		}
	}
}

// write writes changes to the directory, at most twice a second for each rig.
func (l *lab) write() {
	l.mu.Lock()
	defer l.mu.Unlock()
	news := false
	for _, r := range l.rigs {
		if (r.shown.Holder != r.holder || r.shown.Waiting != len(r.queue)) && time.Since(r.shownAt) >= writeEvery {
			r.shown.Holder, r.shown.Waiting, r.shownAt = r.holder, len(r.queue), time.Now()
			r.shown.Revision++
			news = true
		}
	}
	if news {
		for _, on := range l.follows {
			on(l.gates())
		}
	}
}

func (l *lab) gates() (all []choose.Gate) {
	for _, name := range l.names {
		all = append(all, l.rigs[name].shown)
	}
	return all
}

func (l *lab) follow(ctx context.Context, on func([]choose.Gate)) error {
	l.mu.Lock()
	l.next++
	n := l.next
	l.follows[n] = on
	on(l.gates())
	l.mu.Unlock()
	<-ctx.Done()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.follows, n)
	return nil
}

// dial asks for the seat as a client does.
func (l *lab) dial(ctx context.Context, g choose.Gate, who string, wait bool) (seat, error) {
	time.Sleep(time.Duration(5+rand.IntN(30)) * time.Millisecond) // connect and log in
	l.mu.Lock()
	r, got := l.rigs[g.Rig], seat{g.Rig, who}
	switch {
	case ctx.Err() != nil:
		defer l.mu.Unlock()
		return seat{}, ctx.Err()
	case r.holder == "":
		defer l.mu.Unlock()
		r.holder, r.since = who, time.Now()
		return got, nil
	case !wait:
		defer l.mu.Unlock()
		return seat{}, client.ErrBusy
	}
	w := &waiter{who, make(chan struct{})}
	r.queue = append(r.queue, w)
	l.mu.Unlock()
	select {
	case <-w.granted:
		return got, nil
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		if i := slices.Index(r.queue, w); i >= 0 {
			r.queue = slices.Delete(r.queue, i, i+1)
			return seat{}, ctx.Err()
		}
		return got, nil // granted at the same moment
	}
}

// leave gives a seat back.
func (l *lab) leave(s seat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.rigs[s.rig]
	if r.holder != s.who {
		panic(s.who + " gives back the seat of " + r.holder)
	}
	r.holder, r.since = "", time.Now()
	if len(r.queue) > 0 {
		w := r.queue[0]
		r.queue, r.holder = r.queue[1:], w.who
		close(w.granted)
	}
}

// held returns the names of the rigs whose seats a client has.
func (l *lab) held(who string) (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, r := range l.rigs {
		if r.holder == who {
			names = append(names, name)
		}
	}
	return names
}

// chooser returns the chooser of a client.
func (l *lab) chooser(who string) choose.Chooser[seat] {
	return choose.Chooser[seat]{
		Follow: l.follow, Close: l.leave,
		Dial: func(ctx context.Context, g choose.Gate, wait bool) (seat, error) { return l.dial(ctx, g, who, wait) },
	}
}

// TestLab has 20 rigs and 60 clients. Each client wants a seat five times.
func TestLab(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rounds, longest = 5, 5 * time.Second
		var names []string
		for i := range 20 {
			names = append(names, fmt.Sprintf("rig%02d", i))
		}
		l := newLab(names...)
		go l.run()
		ctx, stop := context.WithTimeout(t.Context(), rounds*time.Minute)
		defer stop()
		var waiting sync.Map // the clients that wait, since when
		watched := make(chan struct{})
		go func() { defer close(watched); l.watchIdle(t, &waiting); stop() }()
		var clients sync.WaitGroup
		var mu sync.Mutex
		var most time.Duration
		for i := range 60 {
			who := fmt.Sprintf("client%02d", i)
			clients.Go(func() {
				for range rounds {
					begin := time.Now()
					waiting.Store(who, begin)
					got, at, err := l.chooser(who).Seat(ctx)
					waiting.Delete(who)
					if err != nil || at.Rig != got.rig {
						t.Error(who, at, got, err)
						return
					}
					if held := l.held(who); len(held) != 1 || held[0] != got.rig {
						t.Errorf("%s has %v, and was given %s", who, held, got.rig)
						stop()
						return
					}
					mu.Lock()
					most = max(most, time.Since(begin))
					mu.Unlock()
					time.Sleep(time.Duration(rand.Int64N(int64(longest))))
					if held := l.held(who); len(held) != 1 {
						t.Errorf("%s has %v in the end", who, held)
					}
					l.leave(got)
					time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
				}
			})
		}
		clients.Wait()
		close(l.stopped)
		<-watched
		// If all queues are equally long, a queue has three clients. It is served in order.
		if most > 6*longest {
			t.Errorf("a client has waited for %v", most)
		}
	})
}

// watchIdle reports rigs that are free for long while a client waits.
func (l *lab) watchIdle(t *testing.T, waiting *sync.Map) {
	const long = 3 * time.Second
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case <-l.stopped:
			tick.Stop()
			return
		case <-tick.C:
		}
		longest, idle := time.Duration(0), ""
		waiting.Range(func(_, since any) bool { longest = max(longest, time.Since(since.(time.Time))); return true })
		l.mu.Lock()
		for name, r := range l.rigs {
			if r.holder == "" && time.Since(r.since) > long && longest > long {
				idle = name
			}
		}
		l.mu.Unlock()
		if idle != "" {
			t.Errorf("%s is free, and somebody waits for %v", idle, longest)
			return
		}
	}
}
