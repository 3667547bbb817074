package bench

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/specs/harness"
)

// A Timeline is what both ends of a subject's connections do and when: the calls
// that its sockets see, and the writes to its log. It says where the time goes
// that profiles don't show, because nobody computes in it. Each step begins after
// a pause: otherwise it depends on how the last one ended which processor waits
// for the network.
type Timeline struct {
	Name  string
	Steps int
	step  func() (time.Duration, error)
	tap   *tap
}

// A Moment is when something is done, from the beginning of a step: the median of
// all steps in which it was. Reads are noted when they return, all else when it
// begins. Where there are several connections they have numbers, the one that has
// the seat the first; what a connection does again has its own number behind it.
type Moment struct {
	What string
	At   time.Duration
}

// timelineBlock is how many steps a timeline takes before it is another's turn.
const timelineBlock = 40

// Timelines are those of a login with cached keys, of its floor with as many
// round trips, and of handing the seat on, in turns, as in Interleave. They end
// early where ctx does.
func Timelines(ctx context.Context, t T, rounds int) ([]*Timeline, error) {
	t.Helper()
	all := []*Timeline{floorTimeline(t), loginTimeline(t)}
	for _, waiting := range []int{1, 4} {
		all = append(all, handoffTimeline(t, waiting))
	}
	for range rounds {
		for _, i := range rand.Perm(len(all)) {
			if ctx.Err() != nil {
				return all, ctx.Err()
			}
			runtime.GC()
			for range timelineBlock {
				if err := all[i].take(); err != nil {
					return nil, fmt.Errorf("%s: %w", all[i].Name, err)
				}
			}
		}
	}
	return all, nil
}

// take takes a step, and keeps what was done until its time was over.
func (l *Timeline) take() error {
	took, err := l.step()
	l.Steps++
	l.tap.keep(took)
	return err
}

// Moments are those of at least two steps in three, in the order of time.
func (l *Timeline) Moments() (all []Moment) {
	for what, times := range l.tap.times {
		if len(times)*3 >= l.Steps*2 {
			slices.Sort(times)
			all = append(all, Moment{what, Percentile(times, 50)})
		}
	}
	slices.SortFunc(all, func(a, b Moment) int { return cmp.Compare(a.At, b.At) })
	return all
}

func floorTimeline(t T) *Timeline {
	t.Helper()
	tap := new(tap)
	f := floor{tls: serverTLS(harness.ECDSA), talk: talk, tap: tap}
	p := passerby{addr: f.start(t), talk: talk, tap: tap}
	return &Timeline{Name: "Login/of=tls+exchange", step: tap.afterPause(p.rig().Step), tap: tap}
}

func loginTimeline(t T) *Timeline {
	t.Helper()
	tap := new(tap)
	v := visitorOf(t, tap.serve(t), scram.MinIterations, new(scram.KeyCache))
	v.dialer.DialContext = tap.dial
	return &Timeline{Name: "Login/keys=cached/of=sallyport", step: tap.afterPause(v.login), tap: tap}
}

func handoffTimeline(t T, waiting int) *Timeline {
	t.Helper()
	tap := &tap{numbered: true}
	h := tap.serve(t)
	q := &queue{addr: h.Addr, dialer: dialer(h), length: waiting, tap: tap}
	q.dialer.Keys, q.dialer.DialContext = new(scram.KeyCache), tap.dial
	t.Cleanup(func() { _ = q.dissolve() })
	if err := q.form(); err != nil {
		t.Fatalf("queue: %v", err)
	}
	return &Timeline{Name: fmt.Sprintf("Handoff/waiting=%d/of=sallyport", waiting), step: q.handOff, tap: tap}
}
