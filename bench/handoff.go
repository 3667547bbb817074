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
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// handoffs are from the holder's QUIT to the return of the next client's Dial, while so many wait and
// are sent their new places. The floor is one round trip of as many bytes over bare TLS. Both come after
// a pause that is longer than the processor takes to doze.
func handoffs() Group {
	g := Group{Name: "Handoff", Rounds: 40, Block: 100 * time.Millisecond}
	add := func(name string, start func(t T) *Rig) {
		g.Subjects = append(g.Subjects, Subject{Name: name, Start: func(t T) *Rig {
			rig := start(t)
			step := rig.Step
			rig.Step = func() (time.Duration, error) {
				time.Sleep(time.Millisecond)
				return step()
			}
			return rig
		}})
	}
	for _, waiting := range []int{1, 4, 15} {
		add(fmt.Sprintf("waiting=%d/of=sallyport", waiting), func(t T) *Rig {
			u := newUser(t, serve(t, fileLog(t), nil), scram.MinIterations, new(scram.KeyCache))
			q := &queue{user: u, length: waiting}
			u.dialer.OnNotice = func(client.Notice) { q.notices.Add(1) }
			t.Cleanup(func() { _ = q.dissolve() })
			return &Rig{Before: q.form, Step: q.handOff, After: q.dissolve}
		})
	}
	add("of=idle-roundtrip", func(t T) *Rig {
		return Exchange{[]byte("QUIT\r\n"), []byte("221 bye\r\n")}.rig(t, floor{tls: ServerTLS(testserver.ECDSA)}, 1)
	})
	return g
}

// A queue is a client that has the seat, and those that wait for it.
type queue struct {
	user
	length int
	// goroutines are without the queue's.
	goroutines int
	ctx        context.Context
	cancel     context.CancelFunc
	holder     *client.Client
	waiting    []chan arrival
	// Each client that waits is sent its place when it comes, and after each handoff.
	notices atomic.Int64
	wanted  int64
}

// An arrival is how and when a Dial ended.
type arrival struct {
	client *client.Client
	err    error
	at     time.Time
}

// form fills the seat and the queue.
func (q *queue) form() (err error) {
	q.goroutines = runtime.NumGoroutine()
	q.ctx, q.cancel = context.WithCancel(context.Background())
	q.wanted = q.notices.Load()
	if q.holder, err = q.login(); err != nil {
		return err
	}
	return q.fill()
}

// fill has clients join until the queue is full and each has been sent its place.
func (q *queue) fill() error {
	for len(q.waiting) < q.length {
		seated := make(chan arrival, 1)
		q.waiting = append(q.waiting, seated)
		q.wanted++
		go func() {
			c, err := q.dialer.Dial(q.ctx, q.addr, testserver.Credentials("alice"))
			seated <- arrival{c, err, time.Now()}
		}()
		for start := time.Now(); q.notices.Load() != q.wanted; time.Sleep(50 * time.Microsecond) {
			if time.Since(start) > Patience {
				return errors.New("bench: the queue does not form")
			}
		}
	}
	return nil
}

// handOff does not time what the others are sent, and how the queue fills again.
func (q *queue) handOff() (time.Duration, error) {
	start := time.Now()
	if err := q.holder.Quit(context.Background()); err != nil {
		return 0, err
	}
	next := <-q.waiting[0]
	q.holder, q.waiting = next.client, q.waiting[1:]
	q.wanted += int64(len(q.waiting))
	if next.err != nil {
		return 0, next.err
	}
	return next.at.Sub(start), q.fill()
}

// dissolve sends everybody away and waits until they are gone.
func (q *queue) dissolve() error {
	if q.cancel == nil {
		return nil
	}
	q.cancel()
	for _, seated := range q.waiting {
		if a := <-seated; a.client != nil {
			_ = a.client.Close()
		}
	}
	if q.holder != nil {
		_ = q.holder.Close()
	}
	q.holder, q.waiting, q.cancel = nil, nil, nil
	return settle(q.goroutines)
}
