package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/client/pin"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/control"
	"github.com/sallyport/sallyport/server/fleet"
)

// fleetPart is the gate's membership in a fleet: its entry in the directory, the heads of its log and, with
// --fleet-seat, its part of the common queue.
type fleetPart struct {
	fleetFlags
	serve          *serveFlags
	flags          *pflag.FlagSet
	limits         *server.Limits
	rig, advertise string
	tags           tagsFlag
	sharesSeat     bool

	gates *fleet.Fleet                // nil without --fleet
	log   atomic.Pointer[slog.Logger] // set before the first message
	entry atomic.Pointer[fleet.Registration]
	heads atomic.Pointer[fleet.Noter]
	ca    atomic.Pointer[pin.Pin] // of the served certificate, nil for a public CA
	seat  *fleet.Seat             // nil without --fleet-seat
}

// sharedVanish is the maximum of --vanish-timeout with --fleet-seat, two thirds of the lease in etcd. So a client that
// can't reach its gate has stopped before another gate seats the next client.
const sharedVanish = 10 * time.Second

func (p *fleetPart) define(flags *pflag.FlagSet) {
	p.fleetFlags.define(flags)
	p.flags = flags
	flags.StringVar(&p.rig, "rig", "", "with --fleet: `name` of the rig that this gate guards")
	flags.Var(&p.tags, "tag", "with --fleet: a tag of the rig, as board=imx8; repeatable")
	flags.StringVar(&p.advertise, "advertise", "", "with --fleet: `HOST:PORT` at which clients reach this gate (default: --listen)")
	flags.BoolVar(&p.sharesSeat, "fleet-seat", false, "with --fleet: share one seat with all gates of this --rig (--vanish-timeout is 10s then)")
	under(headingFleet, flags)
}

func (p *fleetPart) check() (err error) {
	if err := p.fleetFlags.check(""); err != nil {
		return err
	}
	switch {
	case p.url == "" && (p.sharesSeat || p.advertise != ""):
		return usagef("--advertise and --fleet-seat go with --fleet")
	case p.url == "" && (p.isTyped("rig") || p.isTyped("tag")):
		return usagef("--rig and --tag go with --fleet")
	case p.url == "":
		return nil
	case p.rig == "":
		return usagef("--fleet needs --rig: the name of what this gate guards")
	}
	if err := fleet.CheckName(p.rig); err != nil {
		return usagef("--rig: %v", err)
	}
	if err := cmp.Or(p.checkAdvertised(), p.checkSeat()); err != nil {
		return err
	}
	p.gates, err = p.open(slog.New(laterLog{&p.log}))
	return err
}

// isTyped reports whether a flag is set, but not by its variable. SALLYPORT_RIG and SALLYPORT_TAG may be set for
// clients.
func (p *fleetPart) isTyped(name string) bool {
	flag := p.flags.Lookup(name)
	return flag.Changed && os.Getenv(variable(flag)) == ""
}

// checkSeat bounds the vanish limit if the seat is shared.
func (p *fleetPart) checkSeat() error {
	switch {
	case !p.sharesSeat:
	case !fleet.CanShare:
		return usagef("--fleet-seat needs Linux, whose clock runs on while the machine sleeps")
	case !p.flags.Changed("vanish-timeout"):
		p.limits.Vanish = sharedVanish
	case p.limits.Vanish > sharedVanish:
		return usagef("with --fleet-seat --vanish-timeout is at most %v, two thirds of the lease in etcd", sharedVanish)
	}
	return nil
}

// checkAdvertised returns an error of usage if clients can't connect to the address in the directory.
func (p *fleetPart) checkAdvertised() error {
	if p.advertise == "" {
		return p.checkListen(p.serve.address())
	}
	host, port, err := net.SplitHostPort(p.advertise)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || host == "" || port == "0" || isWildcard(p.advertise) || len(p.advertise) > 300 {
		return usagef("--advertise is the HOST:PORT that clients connect to, not %q", p.advertise)
	}
	return nil
}

// checkListen returns an error of usage if clients can't connect to the address that serve listens on.
func (p *fleetPart) checkListen(addr string) error {
	if p.advertise == "" && isWildcard(addr) {
		return usagef("%s is on all addresses: say with --advertise HOST:PORT at which of them clients reach this gate", addr)
	}
	return nil
}

// isWildcard reports whether an address is on all addresses of the machine.
func isWildcard(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip, notIP := netip.ParseAddr(host)
	return err == nil && (host == "" || notIP == nil && ip.IsUnspecified())
}

// isLoopback reports whether only this machine can connect to an address.
func isLoopback(addr string) bool {
	at, err := netip.ParseAddrPort(addr)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// observe updates the directory after a change of the seat, which it reads from a line of the log.
func (p *fleetPart) observe(line []byte) {
	if event := eventOf(line); strings.HasPrefix(event, "session.") || strings.HasPrefix(event, "queue.") {
		p.changed()
	}
}

func (p *fleetPart) start(r *running) (stop func(), err error) {
	if p.gates == nil {
		return nil, nil
	}
	if err := p.checkListen(r.listener.Addr().String()); err != nil { // of the socket that systemd passes
		return nil, err
	}
	p.log.Store(r.log)
	gate, err := r.paths.GateID()
	if err != nil {
		return nil, err
	}
	if p.sharesSeat {
		p.seat = p.gates.Seat(fleet.SeatConfig{Rig: p.rig, Gate: gate, At: p.address(r), Changed: p.changed, Fatal: r.seatLost})
		r.server.Shared = p.seat
	}
	entry, err := p.gates.Register(gate, p.rig, func() fleet.Rig { return p.describe(r) })
	if err != nil {
		p.close()
		return nil, err
	}
	if p.advertise == "" && isLoopback(r.listener.Addr().String()) && p.gates.Remote() {
		r.log.Warn("the directory is on another machine, but has an address of this one: say with --advertise HOST:PORT where clients reach this gate")
	}
	p.entry.Store(entry)
	heads := p.gates.NoteHeads(p.rig, gate, func() (string, int64) {
		s := r.server.Audit.State()
		return s.Head, s.Size
	})
	p.heads.Store(heads)
	return func() {
		heads.Close()
		entry.Close()
		p.close()
	}, nil
}

func (p *fleetPart) close() {
	if p.seat != nil {
		p.seat.Close()
	}
	_ = p.gates.Close()
}

// serves stores the CA of a new certificate of the server.
func (p *fleetPart) serves(pair tls.Certificate) {
	p.ca.Store(nil)
	if ca, private := servedCA(pair); private {
		p.ca.Store(&ca)
	}
}

// reloaded puts the new CA into the directory.
func (*fleetPart) reloading()       {}
func (*fleetPart) stopping()        {}
func (p *fleetPart) reloaded(error) { p.changed() }

// sessionEnded notes the head. It is called when the log has the end of a session.
func (p *fleetPart) sessionEnded() {
	if heads := p.heads.Load(); heads != nil {
		heads.Changed()
	}
}

// changed requests an update of the gate's entry in the directory.
func (p *fleetPart) changed() {
	if entry := p.entry.Load(); entry != nil {
		entry.Changed()
	}
}

// address returns the address at which clients reach this gate.
func (p *fleetPart) address(r *running) string {
	return cmp.Or(p.advertise, r.listener.Addr().String())
}

// describe returns the directory's entry of this gate.
func (p *fleetPart) describe(r *running) fleet.Rig {
	rig := fleet.Rig{
		Addr: p.address(r), Tags: p.tags, Version: version(), Seat: p.sharesSeat,
		Head: r.server.Audit.State().Head,
	}
	if ca := p.ca.Load(); ca != nil {
		rig.CA = ca.String()
	}
	if p.seat != nil {
		now := p.seat.Status()
		rig.Holder, rig.Since, rig.Waiting = now.Holder, now.Since, now.Waiting
		return rig
	}
	now := r.server.Status()
	rig.Waiting = len(now.Waiting)
	if now.Holder != nil {
		rig.Holder, rig.Since = now.Holder.User, now.Holder.Since
	}
	return rig
}

// about returns the fleet's part of status. Nil means that the gate is in no directory.
func (p *fleetPart) about() *control.Fleet {
	entry := p.entry.Load()
	if entry == nil {
		return nil
	}
	state := entry.State()
	f := &control.Fleet{Rig: p.rig, Shared: p.sharesSeat, Up: state.Up, Since: state.Since}
	if state.Err != nil {
		f.Error = message(state.Err)
	}
	if p.seat != nil {
		now := p.seat.Status()
		f.NoLease = p.seat.NoLease()
		f.Holder, f.HolderAt, f.HolderSince, f.QueueLength = now.Holder, p.seat.HolderAt(), now.Since, now.Waiting
	}
	return f
}

// lastWords bounds how long the end of the process waits for the log.
const lastWords = 200 * time.Millisecond

// seatLost ends the process, because a session has not ended and another gate may have the seat.
func (r *running) seatLost(why string) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		r.log.Error("serve ends at once", "why", why)
		if h := r.server.Status().Holder; h != nil {
			r.server.Audit.Error("handler.stuck", h.Conn).Str("user", h.User).Str("verb", h.Running).Int("n", h.Requests+1).Send()
			_ = r.server.Audit.Flush()
		}
		r.flags.stderr.Flush(lastWords)
	}()
	select {
	case <-said:
	case <-time.After(lastWords):
	}
	os.Exit(exitFailed)
}

// laterLog passes messages on to the log of the server, which --chat changes. It writes errors in words for a person.
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
