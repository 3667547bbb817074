package main

import (
	"context"
	"os"
	"time"
)

const (
	// forwardVariable has the address of hold's --forward in the environment of its command.
	forwardVariable = envPrefix + "FORWARD"
	// drainTime bounds the wait for the local connections that a command leaves behind.
	drainTime = 20 * time.Second
)

// listen opens the port of --forward. The command inherits its address.
func (h *holding) listen(addr string) (err error) {
	if h.port, err = listenLocally("--forward", addr, sayTo(h.stderr)); err != nil {
		return err
	}
	return os.Setenv(forwardVariable, h.port.Addr())
}

// check returns an error if the command would get a port to no backend.
func (h *holding) check(ctx context.Context) error {
	if h.port == nil {
		return nil
	}
	return h.seat.Check(ctx)
}

// forward serves the command's local connections until ctx ends or no more come. Then it closes served.
func (h *holding) forward(ctx context.Context) (served <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if h.port != nil {
			_ = h.port.Serve(ctx, h.seat) // keep finds a loss of the seat, too
		}
	}()
	return done
}

// drain waits until the backend has what an ended command has sent.
func (h *holding) drain(ctx context.Context, served <-chan struct{}) {
	if h.port == nil {
		return
	}
	h.port.Drain()
	select {
	case <-served:
	case <-ctx.Done():
	case <-time.After(drainTime):
		sayTo(h.stderr)("a local connection is cut, because it goes on %v after the command has ended", drainTime)
	}
}
