package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/choose"
	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/fleet"
)

// findFlags name a rig of a fleet's directory in place of --addr.
type findFlags struct {
	fleetFlags
	rig   string
	any   bool
	tags  tagsFlag
	flags *pflag.FlagSet
}

// findHelp is the text about these flags in the help of connect, hold and forward.
const findHelp = `With --rig NAME, or --any and --tag, the address and the CA of the server come from
the directory of a fleet (--fleet): so anyone who can write there chooses whom you
trust. sallyport rigs lists the directory. If several servers share the seat of a
rig, they are tried in turn until one can be reached. --any gets the seat of any free
rig that has all tags. If none is free it waits in the shortest queue, and meanwhile
tries each rig that becomes free. Standard error names the rig: rig NAME at ADDRESS.
The exit code is 3 if etcd does not answer or there is no such rig.`

func (f *findFlags) define(cmd *cobra.Command) {
	f.flags = cmd.Flags()
	f.fleetFlags.define(f.flags)
	f.flags.StringVar(&f.rig, "rig", "", "`name` of a rig in the directory of --fleet, in place of --addr")
	f.flags.BoolVar(&f.any, "any", false, "any rig in the directory of --fleet, in place of --addr")
	f.flags.Var(&f.tags, "tag", "with --any: only rigs with this tag; repeatable")
	_ = cmd.RegisterFlagCompletionFunc("rig", f.completeRig) // no error: the flag is there
}

// asked reports whether a rig of the directory is wanted.
func (f *findFlags) asked() bool { return f.rig != "" || f.any }

func (f *findFlags) check() error {
	if !f.asked() {
		if f.flags != nil && onCommandLine(f.flags, "tag") != "" {
			return usagef("--tag goes with --any")
		}
		return nil
	}
	what := "--any"
	if f.rig != "" {
		what = "--rig"
	}
	if f.rig != "" && f.any {
		return usagef("--rig and --any exclude each other")
	}
	for _, name := range []string{"addr", "host", "ca", "pin", "state"} {
		if f.flags.Changed(name) {
			return usagef("%s and --%s exclude each other: address and CA come from the directory", what, name)
		}
	}
	if f.rig != "" && onCommandLine(f.flags, "tag") != "" {
		return usagef("--tag goes with --any")
	}
	return f.fleetFlags.check(what)
}

// completeRig offers the names in the directory.
func (f *findFlags) completeRig(*cobra.Command, []string, string) (names []string, _ cobra.ShellCompDirective) {
	env := func(name string) string { return os.Getenv(envPrefix + name) }
	flags := fleetFlags{
		url: cmp.Or(f.url, env("FLEET")), ca: cmp.Or(f.ca, env("FLEET_CA")),
		cert: cmp.Or(f.cert, env("FLEET_CERT")), key: cmp.Or(f.key, env("FLEET_KEY")),
	}
	if gates, err := flags.open(slog.New(slog.DiscardHandler)); err == nil {
		defer gates.Close()
		all, _ := gates.Rigs(context.Background()) // empty if etcd does not answer
		for _, r := range all {
			if len(names) == 0 || names[len(names)-1] != r.Name {
				names = append(names, r.Name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// login is a client with its connection and the server's address. The client is nil after Stat.
type login struct {
	*client.Client
	conn net.Conn
	addr string
}

func (l login) close() {
	if l.Client != nil {
		l.Client.Close()
	}
}

// dialFound logs in to a rig of the directory.
func (f *dialFlags) dialFound(ctx context.Context, dialer *client.Dialer, dial dialing, who client.Credentials) (l login, err error) {
	gates, err := f.find.open(firstWarning(f.notices))
	if err != nil {
		return l, err
	}
	defer gates.Close()
	says := where{out: f.notices}
	ask := func(ctx context.Context, g choose.Gate, wait bool) (login, error) {
		there, own := *f, *dialer
		there.addr, there.pin = g.Addr, g.Pin
		own.NoWait = own.NoWait || !wait
		own.OnNotice = func(n client.Notice) { says.at(g); dialer.OnNotice(n) }
		if !wait {
			own.OnNotice = nil
		}
		return there.dialTo(ctx, &own, dial, who)
	}
	var at choose.Gate
	if f.find.any {
		chooser := choose.Chooser[login]{
			Dial: ask, Close: login.close, Tags: f.find.tags, NoWait: f.noWait,
			Follow: func(ctx context.Context, on func([]choose.Gate)) error {
				return orAway(gates.Follow(ctx, func(all []fleet.Rig) { on(asGates(all)) }))
			},
		}
		l, at, err = chooser.Seat(ctx)
	} else {
		l, at, err = f.dialRig(ctx, gates, ask)
	}
	if err == nil && l.Client != nil {
		says.at(at)
	}
	return l, orEmpty(ctx, gates, err)
}

// orEmpty names the prefix in the error if the directory has no rig at all.
func orEmpty(ctx context.Context, gates *fleet.Fleet, err error) error {
	if !errors.Is(err, choose.ErrNoRig) {
		return err
	}
	if all, away := gates.Rigs(ctx); away == nil && len(all) == 0 {
		return worded{err, noRigs(gates)}
	}
	return err
}

// dialRig logs in to the rig of --rig.
func (f *dialFlags) dialRig(ctx context.Context, gates *fleet.Fleet, ask func(context.Context, choose.Gate, bool) (login, error)) (l login, at choose.Gate, err error) {
	all, err := gates.Rigs(ctx)
	if err != nil {
		return l, at, cause(ctx, orAway(err))
	}
	found, err := choose.Named(asGates(all), f.find.rig)
	if err != nil {
		return l, at, err
	}
	return choose.InTurn(ctx, found, func(g choose.Gate) (login, error) { return ask(ctx, g, true) })
}

// orAway turns an error into one of the directory.
func orAway(err error) error {
	if err != nil {
		return noDirectory{err}
	}
	return nil
}

// asGates converts the rigs of the directory for package choose.
func asGates(all []fleet.Rig) (gates []choose.Gate) {
	for _, r := range all {
		gates = append(gates, choose.Gate{
			Rig: r.Name, ID: r.Gate, Addr: r.Addr, Pin: r.CA, Tags: r.Tags,
			Holder: r.Holder, Waiting: r.Waiting, Revision: r.Revision,
		})
	}
	return gates
}

// where prints the rig and the gate of a client, once for each change.
type where struct {
	out  io.Writer
	mu   sync.Mutex
	last string
}

func (w *where) at(g choose.Gate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if line := fmt.Sprintf("rig %s at %s", show.Printable(g.Rig), show.Printable(g.Addr)); line != w.last {
		fmt.Fprintln(w.out, line)
		w.last = line
	}
}
