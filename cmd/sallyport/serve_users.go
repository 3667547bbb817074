package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/fleet"
	"github.com/sallyport/sallyport/server/state"
	"github.com/sallyport/sallyport/server/users"
)

// The values of --users.
const (
	usersFile  = "file"
	usersFleet = "fleet"
)

// userSource is where the server looks users up.
type userSource interface {
	server.Users
	// Reload reads the users again. Faults are those of the last reading.
	Reload() error
	Faults() []error
}

// defineUsers defines --users.
func (f *serveFlags) defineUsers(flags *pflag.FlagSet) {
	flags.StringVar(&f.usersFrom, "users", usersFile, "where users are kept: `file|fleet`, the state directory or, for all gates, the etcd of --fleet")
}

// checkUsers returns errors of usage.
func (f *serveFlags) checkUsers() error {
	switch {
	case f.usersFrom != usersFile && f.usersFrom != usersFleet:
		return usagef("--users is file or fleet, not %q", f.usersFrom)
	case f.usersFrom == usersFleet && f.fleet.url == "":
		return usagef("--users fleet needs --fleet: the etcd with the users")
	}
	return nil
}

// openUsers opens the users, until release.
func (f *serveFlags) openUsers(home state.State, log *slog.Logger) (source userSource, release func(), err error) {
	if f.usersFrom == usersFile {
		source, err = users.Open(home.Users(), home.MockSecret, func(err error) { log.Error("users", "error", message(err)) })
		return source, func() {}, err
	}
	all := f.fleet.gates.OpenUsers(home.FleetUsers())
	return all, all.Close, nil
}

// describeUsers returns where the users are, and how many, for --check.
func (f *serveFlags) describeUsers(paths state.Paths) (string, error) {
	if f.usersFrom == usersFleet {
		return fmt.Sprintf("%s, with a copy in %s", f.fleet.url, paths.FleetUsers()), nil
	}
	known, err := users.List(paths.Users())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return fmt.Sprintf("%s: %d", paths.Users(), len(known)), nil
}

// someUser returns the name of a user, or the command that adds the first one.
func (f *serveFlags) someUser(source userSource, paths state.Paths) (name, add string) {
	const command = "user add alice"
	if all, ok := source.(*fleet.Users); ok {
		return all.First(), commandLine(command, "", "") + f.fleet.line()
	}
	if all, _ := users.List(paths.Users()); len(all) > 0 {
		name = all[0].Name
	}
	return name, commandLine(command, f.state, "")
}
