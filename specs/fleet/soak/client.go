//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/stream"
	"github.com/sallyport/sallyport/protocol"
)

// attempt is what a client noted of one connection.
type attempt struct {
	id                    string // c07.00012
	gate                  int
	local                 string // address of the client
	asked, queued, seated time.Time
	until                 time.Time // when the client means to stop
	ended                 time.Time
	grew                  bool // the position did
	replies               int
	err                   error
	position              int
}

// visitor is one of those who want the device.
type visitor struct {
	w      *world
	number int
	r      *rand.Rand
	dialer client.Dialer
	polite bool // looks whether the gate is there, and leaves if not

	mu    sync.Mutex
	tried []*attempt
}

const (
	// beat is the pause between two messages of a client.
	beat = 15 * time.Millisecond
	// patience bounds the wait for the seat, and the wait for the end of a stream.
	patience = 90 * time.Second
)

func newVisitor(w *world, number int, r *rand.Rand) *visitor {
	return &visitor{w: w, number: number, r: r, polite: number%2 == 0}
}

func (v *visitor) user() string { return fmt.Sprintf("c%02d", v.number) }

// live asks for the seat again and again.
func (v *visitor) live(ctx context.Context) {
	for ctx.Err() == nil {
		gate := v.number % len(v.w.gates)
		if v.r.IntN(4) == 0 {
			gate = v.r.IntN(len(v.w.gates))
		}
		a := v.begin(gate)
		try := v.try
		if v.holds() {
			try = v.hold
		}
		err := try(ctx, a)
		v.update(a, func() { a.ended, a.err = time.Now(), err })
		pause(ctx, time.Duration(20+v.r.IntN(300))*time.Millisecond)
	}
}

func (v *visitor) begin(gate int) *attempt {
	v.mu.Lock()
	defer v.mu.Unlock()
	a := &attempt{id: fmt.Sprintf("c%02d.%05d", v.number, len(v.tried)), gate: gate, asked: time.Now()}
	v.tried = append(v.tried, a)
	return a
}

func (v *visitor) update(a *attempt, f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f()
}

// all returns a copy of all attempts.
func (v *visitor) all() (all []attempt) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, a := range v.tried {
		all = append(all, *a)
	}
	return all
}

// length returns how long a session is. Most are short, so that the seat goes round.
func (v *visitor) length() time.Duration {
	if v.r.IntN(6) == 0 {
		return time.Duration(2000+v.r.IntN(4000)) * time.Millisecond
	}
	return time.Duration(100+v.r.IntN(900)) * time.Millisecond
}

// try asks for the seat and uses it.
func (v *visitor) try(ctx context.Context, a *attempt) error {
	length, requests := v.length(), v.r.IntN(3)
	c, err := v.dial(ctx, a)
	if err != nil {
		return err
	}
	defer c.Close()
	v.update(a, func() { a.seated, a.until = time.Now(), time.Now().Add(length) })
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for range requests {
		if _, err := c.Do(ctx, protocol.Request{Verb: "ECHO", Argument: a.id}); err != nil {
			return err
		}
		v.update(a, func() { a.replies++ })
	}
	if err := v.drive(ctx, c, a); err != nil {
		return err
	}
	v.update(a, func() { a.replies++ }) // of STREAM
	return c.Quit(ctx)
}

// dial logs in and waits for the seat.
func (v *visitor) dial(ctx context.Context, a *attempt) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d := v.dialer // the same key cache
	g := v.w.gates[a.gate]
	d.TLSConfig = g.trust
	d.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := v.w.cables.dial(ctx, network, addr)
		if err == nil {
			v.update(a, func() { a.local = conn.LocalAddr().String() })
		}
		return conn, err
	}
	d.OnNotice = func(n client.Notice) {
		position := 0
		if _, err := fmt.Sscanf(n.Text, "position %d ", &position); n.Code == protocol.CodePosition && err == nil {
			v.update(a, func() {
				if a.queued.IsZero() {
					a.queued = time.Now()
				}
				a.grew = a.grew || a.position > 0 && position > a.position
				a.position = position
			})
		}
	}
	return d.Dial(ctx, g.addr, client.Credentials{Username: v.user(), Password: password})
}

// drive writes messages to the device.
func (v *visitor) drive(ctx context.Context, c *client.Client, a *attempt) error {
	s, err := stream.Open(ctx, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if v.polite {
		go v.look(ctx, s, cancel)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	for counter := 0; time.Now().Before(a.until); counter++ {
		if _, err := fmt.Fprintf(s, "%s %08d\n", a.id, counter); err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		if !pause(ctx, beat) {
			return context.Cause(ctx)
		}
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	_, _, err = s.Wait(ctx)
	return err
}

var errSilent = errors.New("the gate is silent")

// look pings the gate, and gives up if it does not answer.
func (v *visitor) look(ctx context.Context, s *stream.Stream, giveUp func(error)) {
	for pause(ctx, 2*time.Second) {
		ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
		_, err := s.Ping(ctx, false)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			giveUp(errSilent)
			return
		}
	}
}
