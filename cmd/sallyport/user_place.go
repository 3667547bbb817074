package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/fleet"
	"github.com/sallyport/sallyport/server/state"
	"github.com/sallyport/sallyport/server/users"
)

// userPlace is a store of users: a file or etcd.
type userPlace interface {
	list() ([]users.Entry, error)
	add(name, password string, iterations int) error
	setPassword(name, password string, iterations int) error
	remove(name string) error
	// added and removed print the effect of a change.
	added(name string)
	removed(name string)
	// command returns a command line for the same place.
	command(string) string
}

// known reports whether a user exists. certain is false if there are faults, because a faulty entry may be the user's.
// err is the reason why the users can't be read at all.
func known(place userPlace, name string) (known, certain bool, err error) {
	prepared, unfit := scram.Prepare(name)
	all, faults := place.list()
	known = slices.ContainsFunc(all, func(u users.Entry) bool { return u.Name == prepared })
	if !errors.Is(faults, users.ErrLine) && !errors.Is(faults, fleet.ErrForeign) {
		err = faults
	}
	return known && unfit == nil, unfit == nil && faults == nil, err
}

// place returns the store of users: etcd with --fleet, and otherwise the state directory, which it prepares.
func (f *userFlags) place() (userPlace, error) {
	if f.fleet.url == "" {
		home, err := prepare(f.state)
		return fileUsers{home, f.state}, err
	}
	gates, err := f.fleet.open(slog.New(slog.DiscardHandler)) // list names the ignored values
	return fleetUsers{gates, f.fleet}, err
}

// fileUsers are the users in the file of a state directory.
type fileUsers struct {
	home  state.State
	state string // the value of --state
}

func (p fileUsers) list() ([]users.Entry, error) { return users.List(p.home.Users()) }

func (p fileUsers) add(name, password string, iterations int) error {
	return users.Add(p.home.Users(), name, password, iterations)
}

func (p fileUsers) setPassword(name, password string, iterations int) error {
	return users.SetPassword(p.home.Users(), name, password, iterations)
}

func (p fileUsers) remove(name string) error      { return users.Remove(p.home.Users(), name) }
func (p fileUsers) command(command string) string { return commandLine(command, p.state, "") }

func (p fileUsers) added(name string) {
	addr, _ := os.ReadFile(addrFile(p.home.Paths)) // empty means the default
	fmt.Fprintf(os.Stderr, "added %s; next: %s\n", show.Printable(name), commandLine("connect --user "+quoteArg(name), p.state, string(addr)))
}

func (p fileUsers) removed(name string) {
	fmt.Fprintf(os.Stderr, "removed %s, who can't log in again; a session that runs goes on: %s ends it\n",
		show.Printable(name), p.command("evict --user "+quoteArg(name)))
}

// fleetUsers are the users in etcd.
type fleetUsers struct {
	gates *fleet.Fleet
	flags fleetFlags
}

func (p fleetUsers) list() ([]users.Entry, error) { return p.gates.Users(context.Background()) }

func (p fleetUsers) add(name, password string, iterations int) error {
	return p.gates.AddUser(context.Background(), name, password, iterations)
}

func (p fleetUsers) setPassword(name, password string, iterations int) error {
	return p.gates.SetUserPassword(context.Background(), name, password, iterations)
}

func (p fleetUsers) remove(name string) error {
	return p.gates.RemoveUser(context.Background(), name)
}

func (p fleetUsers) command(command string) string {
	return commandLine(command, "", "") + p.flags.line()
}

func (p fleetUsers) added(name string) {
	fmt.Fprintf(os.Stderr, "added %s, at each gate that serves with --users fleet\n", show.Printable(name))
}

func (p fleetUsers) removed(name string) {
	fmt.Fprintf(os.Stderr, "removed %s: no gate that reaches etcd lets this user in again; a session that runs goes on: %s ends it at its gate\n",
		show.Printable(name), commandLine("evict --user "+quoteArg(name), "", ""))
}

// line returns the flags for a command line.
func (f *fleetFlags) line() (line string) {
	for _, flag := range [][2]string{{"--fleet", f.url}, {"--fleet-ca", f.ca}, {"--fleet-cert", f.cert}, {"--fleet-key", f.key}} {
		if flag[1] != "" {
			line += " " + flag[0] + " " + quoteArg(flag[1])
		}
	}
	return line
}
