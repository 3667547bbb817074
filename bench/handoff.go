package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/specs/harness"
)

// pause is how long nothing goes on before a seat is handed on. It goes on for
// longer than the processor takes to doze.
const pause = time.Millisecond

// handoffs are from when the holder says QUIT to when the next one's Dial has
// returned, with so many who wait and are told of it. The floor is one round trip
// of as many octets over bare TLS, after the same idleness.
func handoffs() Group {
	g := Group{Name: "Handoff", Rounds: 40, Block: 100 * time.Millisecond}
	for _, waiting := range []int{1, 4, 15} {
		g.Subjects = append(g.Subjects, Subject{
			Name:  fmt.Sprintf("waiting=%d/of=sallyport", waiting),
			Start: func(t T) *Rig { return handoffRig(t, waiting) },
		})
	}
	g.Subjects = append(g.Subjects, Subject{Name: "of=idle-roundtrip", Start: func(t T) *Rig {
		rig := echo{request: "QUIT\r\n", reply: "221 bye\r\n"}.rig(t, 1)
		step := rig.Step
		rig.Step = func() (time.Duration, error) {
			time.Sleep(pause)
			return step()
		}
		return rig
	}})
	return g
}

func handoffRig(t T, waiting int) *Rig {
	t.Helper()
	h := serve(t, logOf(t, "file"), nil)
	q := &queue{addr: h.Addr, dialer: dialer(h), length: waiting}
	q.dialer.Keys = new(scram.KeyCache)
	t.Cleanup(func() { _ = q.dissolve() })
	return &Rig{Before: q.form, Step: q.handOff, After: q.dissolve}
}

// A queue is a client that has the seat, and those who wait for it.
type queue struct {
	addr   string
	dialer *client.Dialer
	length int
	tap    *tap // nil: nobody watches

	others  int // goroutines that are not the queue's
	dismiss context.CancelFunc
	ctx     context.Context
	holder  *client.Client
	waiting []*waiter
}

type waiter struct {
	place  atomic.Int64 // as the server has told
	seated chan arrival
}

// arrival is how a Dial ended, and when.
type arrival struct {
	client *client.Client
	err    error
	at     time.Time
}

// form fills the seat and the queue.
func (q *queue) form() (err error) {
	q.others = runtime.NumGoroutine()
	q.ctx, q.dismiss = context.WithCancel(context.Background())
	if q.holder, err = q.dialer.Dial(q.ctx, q.addr, harness.Credentials("alice")); err != nil {
		return err
	}
	return q.fill()
}

// fill has clients join until the queue is as long as it shall be, and returns
// when each has been told its place.
func (q *queue) fill() error {
	for len(q.waiting) < q.length {
		q.join()
		for start := time.Now(); !q.settled(); time.Sleep(50 * time.Microsecond) {
			if time.Since(start) > 10*time.Second {
				return errors.New("the queue does not form")
			}
		}
	}
	return nil
}

func (q *queue) join() {
	w, d := &waiter{seated: make(chan arrival, 1)}, *q.dialer
	d.OnNotice = func(n client.Notice) {
		var place int64
		if _, err := fmt.Sscanf(n.Text, "position %d", &place); err == nil {
			w.place.Store(place)
		}
	}
	q.waiting = append(q.waiting, w)
	go func() {
		c, err := d.Dial(q.ctx, q.addr, harness.Credentials("alice"))
		w.seated <- arrival{c, err, time.Now()}
	}()
}

func (q *queue) settled() bool {
	for i, w := range q.waiting {
		if w.place.Load() != int64(i+1) {
			return false
		}
	}
	return true
}

// handOff is one step. What the others are told, and how the queue fills again,
// is not timed.
func (q *queue) handOff() (time.Duration, error) {
	time.Sleep(pause)
	q.tap.begin()
	start := time.Now()
	if err := q.holder.Quit(context.Background()); err != nil {
		return 0, err
	}
	next := <-q.waiting[0].seated
	q.holder, q.waiting = next.client, q.waiting[1:]
	if next.err != nil {
		return 0, next.err
	}
	return next.at.Sub(start), q.fill()
}

// dissolve sends everybody away, and waits until they are gone.
func (q *queue) dissolve() error {
	if q.dismiss == nil {
		return nil
	}
	q.dismiss()
	for _, w := range q.waiting {
		if a := <-w.seated; a.client != nil {
			_ = a.client.Close()
		}
	}
	if q.holder != nil {
		_ = q.holder.Close()
	}
	q.dismiss, q.waiting, q.holder = nil, nil, nil
	return settle(q.others)
}
