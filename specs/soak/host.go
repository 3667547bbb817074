package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// host runs the server of an act, and starts it again after a kill.
type host struct {
	bin, dir string
	flags    []string

	mu       sync.Mutex
	server   *server
	lastAddr string
	stopping bool   // the end of the server is wanted
	downs    []span // when no server ran
	fault    error  // the first fault of a server that ended
}

// begin starts a server.
func (h *host) begin(ctx context.Context) error {
	s, err := startServer(ctx, h.bin, h.dir, h.flags...)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.server, h.lastAddr, h.stopping = s, s.addr, false
	if n := len(h.downs); n > 0 {
		h.downs[n-1].until = time.Now()
	}
	go func() {
		<-s.done
		h.ended(ctx, s)
	}()
	return nil
}

// ended notes what is wrong with the end of a server.
func (h *host) ended(ctx context.Context, s *server) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() == nil && !h.stopping {
		h.fault = errors.Join(h.fault, fmt.Errorf("the server ended by itself: %v\n%s", s.cmd.ProcessState, s.err.String()))
	}
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(s.err.String(), bad) {
			h.fault = errors.Join(h.fault, fmt.Errorf("the server says %q:\n%s", bad, s.err.String()))
		}
	}
}

// addr returns the address of the server, or of the last one while none runs.
func (h *host) addr() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lastAddr
}

func (h *host) current() *server {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.server
}

// stop ends the server with a signal. A server that has not ended after half a minute is a fault.
func (h *host) stop(sig syscall.Signal) error {
	h.mu.Lock()
	s := h.server
	h.stopping = true
	h.downs = append(h.downs, span{from: time.Now()})
	h.mu.Unlock()
	s.signal(sigcont)
	s.signal(sig)
	if !s.ended(30 * time.Second) {
		return fmt.Errorf("the server did not end within 30 s after %v:\n%s", sig, s.err.String())
	}
	return nil
}

// failure returns the first fault of a server that has ended.
func (h *host) failure() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fault
}

var goroutine = regexp.MustCompile(`(?m)^goroutine \d+ `)

// goroutines ends the server with SIGQUIT, and returns how many goroutines it says that it had.
func (h *host) goroutines() (int, error) {
	err := h.stop(syscall.SIGQUIT)
	return len(goroutine.FindAllString(h.current().err.String(), -1)), err
}
