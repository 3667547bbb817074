package forward

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/sallyport/sallyport/client"
)

// checkTime bounds the answer to the first request.
const checkTime = 10 * time.Second

// Forwarder serves a port.
type Forwarder struct {
	Port *Port
	// Dial takes the seat. It also returns the connection below the client.
	Dial func(context.Context) (*client.Client, net.Conn, error)
	// Final reports whether an error of Dial would come again for the next local connection.
	Final func(error) bool
	Say   Say
	// Once ends Each and Keep after one local connection that got the seat or was refused. A program that left the
	// queue does not count.
	Once bool
}

// Each takes a seat for each local connection, and gives it back. It returns nil when ctx ends while no local
// connection is served, and otherwise why it ended: with Once how the first local connection did.
func (f *Forwarder) Each(ctx context.Context) error {
	f.Port.open()
	f.Port.tells = true
	for {
		l, err := f.Port.next(ctx)
		if err != nil {
			return nil
		}
		served, err := f.each(ctx, l)
		switch {
		case !served:
		case f.Once, ctx.Err() != nil, err != nil && (errors.Is(err, ErrNoStream) || f.Final(err)):
			return err
		case err != nil:
			f.Say("ended: %v", err)
		}
	}
}

// each serves a local connection with a seat of its own. served is false if the program left while it waited.
func (f *Forwarder) each(ctx context.Context, l *local) (served bool, err error) {
	c, conn, err := f.dialFor(ctx, l)
	if err != nil {
		if f.Port.take(l) {
			_ = l.Close()
			return true, err
		}
		return ctx.Err() != nil, err
	}
	defer c.Close()
	f.Say("seated")
	s := f.hold(ctx, NewSeat(c), conn, time.Now())
	defer s.end()
	if !f.Port.take(l) {
		return false, nil
	}
	return true, f.Port.serve(s.ctx, s.Seat, l, s.give)
}

// dialFor takes the seat, or gives up when the program leaves.
func (f *Forwarder) dialFor(ctx context.Context, l *local) (*client.Client, net.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-l.left:
			cancel(errLeft)
		case <-ctx.Done():
		}
	}()
	return f.Dial(ctx)
}

// Keep takes the seat, and keeps it for all local connections, one after another. It returns nil when ctx ends while no
// local connection is served, and otherwise why it ended: with Once how the first local connection did.
func (f *Forwarder) Keep(ctx context.Context) error {
	f.Port.open()
	f.Port.tells = true
	c, conn, err := f.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	f.Say("seated")
	seat, began := NewSeat(c), time.Now()
	if err := seat.Check(ctx); err != nil {
		return errors.Join(err, seat.Quit(ctx))
	}
	seat.Active = true
	s := f.hold(ctx, seat, conn, began)
	defer s.end()
	if f.Once {
		err = f.Port.serveNext(s.ctx, s.Seat)
	} else {
		err = f.Port.Serve(s.ctx, s.Seat)
	}
	if _, idle := errors.AsType[idleError](err); idle && ctx.Err() != nil {
		return nil
	}
	return err
}

// held is a seat that a keeper watches. ctx ends when the seat may be lost.
type held struct {
	*Seat
	ctx     context.Context
	lose    context.CancelCauseFunc
	release context.CancelFunc
	kept    chan struct{} // closed when the keeper has ended
	given   sync.Once
	gave    chan struct{} // closed when the seat has been given back
}

// hold watches a seat, which was used at that time, until end.
func (f *Forwarder) hold(ctx context.Context, seat *Seat, conn net.Conn, used time.Time) *held {
	h := &held{Seat: seat, kept: make(chan struct{}), gave: make(chan struct{})}
	h.ctx, h.lose = context.WithCancelCause(ctx)
	keeping, release := context.WithCancel(h.ctx)
	h.release = release
	k := newKeeper(seat, conn, used, f.Say)
	go func() {
		defer close(h.kept)
		if err := k.run(keeping); err != nil {
			h.lose(err)
		}
	}()
	return h
}

// give begins to give the seat back.
func (h *held) give() {
	h.given.Do(func() {
		h.release()
		go func() {
			defer close(h.gave)
			ctx, cancel := context.WithTimeout(context.Background(), QuitTime)
			defer cancel()
			_ = h.Quit(ctx)
		}()
	})
}

// end gives the seat back, unless it may be lost: then its connection is closed at once.
func (h *held) end() {
	h.release()
	<-h.kept
	if lost := isLost(context.Cause(h.ctx)); lost {
		_ = h.client.Close()
	}
	h.give()
	<-h.gave
	h.lose(nil)
}
