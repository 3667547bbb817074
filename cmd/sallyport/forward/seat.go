package forward

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/stream"
	"github.com/sallyport/sallyport/protocol"
)

// openTime bounds the server's answer to STREAM. The server bounds the wait for its backend.
const openTime = time.Minute

// Seat is a client that has the seat, and its streams, one after another.
type Seat struct {
	// Active makes pings count as activity, for a program that keeps the seat while nothing goes through it.
	Active bool

	client *client.Client
	// lastWords bounds how long a local program may take what the backend has said when the seat is lost.
	lastWords time.Duration

	mu      sync.Mutex
	opening chan struct{}  // closed when the server has answered STREAM; nil if none is to be answered
	stream  *stream.Stream // that runs, or nil
	local   *local         // joined to it, or nil
}

// NewSeat returns the seat of a client, which sends requests through it alone.
func NewSeat(c *client.Client) *Seat { return &Seat{client: c, lastWords: lastWords} }

// Check returns ErrNoStream if the server has no STREAM, so that a program need not begin to find out.
func (s *Seat) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	reply, err := s.client.Do(ctx, protocol.Request{Verb: protocol.VerbHelp})
	for line := range strings.Lines(reply.Text) {
		if verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); verb == protocol.VerbStream {
			return err
		}
	}
	return cmp.Or(err, ErrNoStream)
}

// Ping returns when the server has shown that this client has the seat: by the answer to a PING in a stream, or to a
// WHOAMI outside, which always counts as activity.
func (s *Seat) Ping() error {
	for {
		s.mu.Lock()
		opening, running := s.opening, s.stream
		s.mu.Unlock()
		switch {
		case opening != nil:
			<-opening // STREAM has no room for a PING before its answer
		case running != nil:
			if _, err := running.Ping(context.Background(), s.Active); err == nil || s.client.Err() != nil {
				return err
			}
			_, _, _ = running.Wait(context.Background())
			s.forget(running)
		default:
			_, err := s.client.Do(context.Background(), protocol.Request{Verb: protocol.VerbWhoami})
			if !errors.Is(err, client.ErrStream) {
				return err
			}
		}
	}
}

// open opens a stream. It leaves the connection open when ctx ends: that is for its owner to close.
func (s *Seat) open(ctx context.Context) (*stream.Stream, error) {
	opening := make(chan struct{})
	s.mu.Lock()
	s.opening = opening
	s.mu.Unlock()
	var opened *stream.Stream
	var err error
	go func() {
		bounded, cancel := context.WithTimeout(context.Background(), openTime)
		defer cancel()
		opened, err = stream.OpenLive(bounded, s.client)
		s.mu.Lock()
		s.opening, s.stream = nil, opened
		s.mu.Unlock()
		close(opening)
	}()
	select {
	case <-opening:
		return opened, s.refused(err)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// refused puts into words why there is no stream.
func (s *Seat) refused(err error) error {
	reply, ok := errors.AsType[*protocol.ReplyError](err)
	switch {
	case ok && reply.Keyword == protocol.KeywordUnknownCommand:
		return ErrNoStream
	case ok && reply.Code == protocol.CodeFailed:
		return fmt.Errorf("the server can't reach its backend: %w", err)
	}
	return s.failed(err)
}

// failed puts into words why a stream has failed.
func (s *Seat) failed(err error) error {
	reply, ok := errors.AsType[*protocol.ReplyError](err)
	switch {
	case err == nil:
		return nil
	case s.client.Err() != nil:
		return lostError{err}
	case ok && reply.Code == protocol.CodeFailed:
		return fmt.Errorf("the backend broke: %w", err)
	}
	return err
}

// lostError is why the seat is lost, or may be.
type lostError struct{ error }

func (e lostError) Error() string { return "the seat was lost: " + e.error.Error() }
func (e lostError) Unwrap() error { return e.error }

func isLost(err error) bool {
	_, lost := errors.AsType[lostError](err)
	return lost
}

// forget notes that a stream is over.
func (s *Seat) forget(over *stream.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream == over {
		s.stream = nil
	}
}

// with notes the local connection that is served, or nil.
func (s *Seat) with(l *local) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.local = l
}

func (s *Seat) served() *local {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.local
}

// Quit ends a stream that runs and gives the seat back.
func (s *Seat) Quit(ctx context.Context) error {
	s.mu.Lock()
	running := s.stream
	s.mu.Unlock()
	if running != nil {
		go func() { _ = running.Abort() }() // which may wait for the network
		_, _, _ = running.Wait(ctx)
	}
	return s.client.Quit(ctx)
}
