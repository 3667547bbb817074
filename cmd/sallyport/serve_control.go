package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/control"
)

// controlPart serves the operator's commands, see package control.
type controlPart struct{ server control.Server }

func (*controlPart) define(*pflag.FlagSet) {}
func (*controlPart) check() error          { return nil }

// observe counts the connections that were refused.
func (p *controlPart) observe(line []byte) {
	if eventOf(line) != "conn.refuse" {
		return
	}
	var refused struct {
		Reason string
		Count  int
	}
	if json.Unmarshal(line, &refused) == nil {
		p.server.Refused(refused.Reason, refused.Count)
	}
}

// start serves the socket. The server can work without it, so a failure is only a warning.
func (p *controlPart) start(r *running) (stop func(), err error) {
	l, err := control.Listen(r.paths.Control())
	if err != nil {
		r.log.Warn("status, evict, reload and stop can't reach this server", "error", message(err))
		return nil, nil
	}
	s := &p.server
	s.Seat, s.Audit, s.ErrorLog = r.server, r.server.Audit, r.log
	s.About, s.Reload, s.Stop = r.about, r.reloadForOperator, r.stop
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(ctx, l) })
	return func() {
		cancel()
		serving.Wait()
	}, nil
}

func (*controlPart) reloading()     {}
func (*controlPart) reloaded(error) {}
func (p *controlPart) stopping()    { p.server.Stopping() }

// about returns what status says beside the seat and the log.
func (r *running) about() control.About {
	f, dir := r.flags, r.paths.Dir
	if path, err := filepath.Abs(dir); err == nil {
		dir = path
	}
	return control.About{
		Version: version(), PID: os.Getpid(), Listen: r.listener.Addr().String(), State: dir,
		Backend: f.aboutBackend(), Certificate: aboutCertificate(r.certs.Leaf()), Limits: f.aboutLimits(r.server),
		Fleet: f.fleet.about(),
	}
}

func (f *serveFlags) aboutBackend() *control.Backend {
	if f.backend.backend == nil {
		return nil
	}
	b := &control.Backend{Spec: f.backend.spec}
	if k := f.keep.keeper; k != nil {
		b.Kept = true
		if err := k.Down(); err != nil {
			b.Down = message(err)
		}
	}
	return b
}

func aboutCertificate(leaf *x509.Certificate) control.Certificate {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return control.Certificate{Names: names, Ends: leaf.NotAfter, Days: certs.DaysLeft(leaf.NotAfter, time.Now())}
}

// aboutLimits returns the limits as the operator gave them: 0 is none.
func (f *serveFlags) aboutLimits(s *server.Server) control.Limits {
	l := s.Limits
	limits := control.Limits{
		Idle: max(0, l.Idle.Seconds()), Session: max(0, l.Session.Seconds()), Request: max(0, l.Request.Seconds()),
		Lobby: l.Lobby, LobbyPerSource: l.LobbyPerSource, Body: l.Body, ShutdownGrace: f.grace.Seconds(),
	}
	if q, ok := s.Admission.(server.Queue); ok {
		limits.QueueDepth, limits.QueuePerUser = q.Depth, q.PerUser
		switch {
		case q.Wait > 0:
			limits.QueueWait = q.Wait.Seconds()
		case q.Wait == 0 && limits.Idle > 0:
			limits.QueueWait = limits.Idle + (2 * time.Minute).Seconds() // see server.Queue
		}
	}
	return limits
}
