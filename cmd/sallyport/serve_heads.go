package main

import (
	"sync/atomic"

	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/server/fleet"
)

// headsPart notes the heads of the log in etcd, with --fleet.
type headsPart struct {
	fleet *fleetPart
	noter atomic.Pointer[fleet.Noter]
}

func (*headsPart) define(*pflag.FlagSet) {}
func (*headsPart) check() error          { return nil }
func (*headsPart) observe([]byte)        {}

func (p *headsPart) start(r *running) (stop func(), err error) {
	if p.fleet.gates == nil {
		return nil, nil
	}
	gate, err := r.paths.GateID()
	if err != nil {
		return nil, err
	}
	noter := p.fleet.gates.NoteHeads(p.fleet.rig, gate, func() (string, int64) {
		s := r.server.Audit.State()
		return s.Head, s.Size
	})
	p.noter.Store(noter)
	return noter.Close, nil
}

// sessionEnded is called when the head of the log is behind a session.
func (p *headsPart) sessionEnded() {
	if noter := p.noter.Load(); noter != nil {
		noter.Changed()
	}
}
