package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/state"
	"github.com/sallyport/sallyport/server/users"
)

// userFlags are the flags that the user commands share.
type userFlags struct {
	state         string
	fleet         fleetFlags
	passwordStdin bool
	iterations    int
}

func userCommand() *cobra.Command {
	f := &userFlags{}
	cmd := group(&cobra.Command{
		Use:   "user",
		Short: "Add, change, remove and list the users who may log in",
		Long: `Add, change, remove and list the users who may log in. A running server sees
the change at the next login.

The file of users has a salted verifier of each password (RFC 5803), and no password.
Keep it secret all the same: it allows offline guessing.

With --fleet the users are those of all gates that serve with --users fleet.
They are kept in etcd, and a change reaches each gate within a second.`,
	},
		f.command("add NAME", "Add a user", cobra.ExactArgs(1), f.add),
		f.command("passwd NAME", "Change a user's password", cobra.ExactArgs(1), f.passwd),
		f.command("remove NAME", "Remove a user", cobra.ExactArgs(1), f.remove),
		f.command("list", "List the users", cobra.NoArgs, f.list),
	)
	for _, sub := range cmd.Commands() {
		if name := sub.Name(); name == "passwd" || name == "remove" {
			sub.ValidArgsFunction = completeUser(f)
		}
		if name := sub.Name(); name == "add" || name == "passwd" {
			sub.Flags().BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from the first line of standard input")
			sub.Flags().IntVar(&f.iterations, "iterations", scram.DefaultIterations, "PBKDF2 iterations (RFC 7677 asks for at least 4096)")
		}
	}
	return cmd
}

// command makes a subcommand that does its work where the users are kept.
func (f *userFlags) command(use, short string, args cobra.PositionalArgs, work func(place userPlace, args []string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(_ *cobra.Command, args []string) error {
			if f.iterations < scram.MinIterations || f.iterations > scram.MaxIterations {
				return usagef("--iterations is %d to %d, not %d", scram.MinIterations, scram.MaxIterations, f.iterations)
			}
			place, err := f.place()
			if err != nil {
				return err
			}
			return work(place, args)
		},
	}
	addStateFlag(cmd, &f.state)
	f.fleet.define(cmd.Flags())
	cmd.Flags().Lookup("fleet").Usage = "the users in this etcd, not those of a state directory; SALLYPORT_FLEET does not set it: `etcd://HOST:PORT[,HOST:PORT...][/PREFIX]`"
	// A variable that is meant for clients must not move the users.
	_ = cmd.Flags().SetAnnotation("fleet", noVariable, nil) // no error: the flag is there
	return cmd
}

// prepare prepares the state directory. It ignores what is wrong with the
// certificates: users can be kept without them, and serve reports it.
func prepare(stateFlag string) (home state.State, err error) {
	dir, err := stateDir(stateFlag)
	if err != nil {
		return home, err
	}
	home, err = state.Prepare(dir, nil, time.Now())
	if errors.Is(err, state.ErrCertificates) {
		err = nil
	}
	return home, err
}

func (f *userFlags) add(place userPlace, args []string) error {
	// Before it asks for a password in vain.
	if exists, _, err := known(place, args[0]); err != nil {
		return err
	} else if exists {
		return fmt.Errorf("%q: %w; change it with: %s", args[0], users.ErrExists, place.command("user passwd "+quoteArg(args[0])))
	}
	password, err := newPassword(args[0], f.passwordStdin)
	if err == nil {
		err = place.add(args[0], password, f.iterations)
	}
	if err == nil {
		place.added(args[0])
	}
	return err
}

func (f *userFlags) passwd(place userPlace, args []string) error {
	if exists, certain, err := known(place, args[0]); err != nil {
		return err
	} else if certain && !exists {
		return fmt.Errorf("%q: %w; add it with: %s", args[0], users.ErrNoUser, place.command("user add "+quoteArg(args[0])))
	}
	password, err := newPassword(args[0], f.passwordStdin)
	if err != nil {
		return err
	}
	return place.setPassword(args[0], password, f.iterations)
}

func (f *userFlags) remove(place userPlace, args []string) error {
	err := place.remove(args[0])
	if err == nil {
		place.removed(args[0])
	}
	return err
}

func (f *userFlags) list(place userPlace, _ []string) error {
	all, err := place.list()
	out := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, u := range all {
		fmt.Fprintf(out, "%s\t%d iterations\n", u.Name, u.Iterations)
	}
	if e := out.Flush(); e != nil {
		return e
	}
	return err
}
