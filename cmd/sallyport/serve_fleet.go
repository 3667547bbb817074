package main

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/server/fleet"
)

// fleetPart is the gate's membership in a fleet.
type fleetPart struct {
	fleetFlags
	rig   string
	gates *fleet.Fleet                // nil without --fleet
	log   atomic.Pointer[slog.Logger] // set before the first message
}

func (p *fleetPart) define(flags *pflag.FlagSet) {
	p.fleetFlags.define(flags)
	flags.StringVar(&p.rig, "rig", "", "with --fleet: `name` of what this gate guards")
	under(headingFleet, flags)
}

func (p *fleetPart) check() (err error) {
	if err := p.fleetFlags.check(""); err != nil || p.url == "" {
		return err // --rig may be in the environment, for clients
	}
	if p.rig == "" {
		return usagef("--fleet needs --rig: the name of what this gate guards")
	}
	if err := fleet.CheckName(p.rig); err != nil {
		return usagef("--rig: %v", err)
	}
	p.gates, err = p.open(slog.New(laterLog{&p.log}))
	return err
}

func (*fleetPart) observe([]byte) {}

func (p *fleetPart) start(r *running) (stop func(), err error) {
	if p.gates == nil {
		return nil, nil
	}
	p.log.Store(r.log)
	return func() { _ = p.gates.Close() }, nil
}

// laterLog passes messages on to the log of the server, which --chat changes, with errors in words for a person.
type laterLog struct{ log *atomic.Pointer[slog.Logger] }

func (laterLog) Enabled(context.Context, slog.Level) bool { return true }

func (h laterLog) Handle(ctx context.Context, r slog.Record) error {
	plain := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.StringValue(message(err))
		}
		plain.AddAttrs(a)
		return true
	})
	return h.log.Load().Handler().Handle(ctx, plain)
}

func (h laterLog) WithAttrs([]slog.Attr) slog.Handler { return h } // package fleet does not use it
func (h laterLog) WithGroup(string) slog.Handler      { return h }
