package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/state"
	"github.com/sallyport/sallyport/server/users"
)

// userFlags are the flags that the user commands share.
type userFlags struct {
	state         string
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

The file of users holds no password but a salted verifier of each (RFC 5803).
Keep it secret all the same: it allows offline guessing.`,
	},
		f.command("add NAME", "Add a user", cobra.ExactArgs(1), f.add),
		f.command("passwd NAME", "Change a user's password", cobra.ExactArgs(1), f.passwd),
		f.command("remove NAME", "Remove a user", cobra.ExactArgs(1), f.remove),
		f.command("list", "List the users", cobra.NoArgs, f.list),
	)
	for _, sub := range cmd.Commands() {
		if name := sub.Name(); name == "passwd" || name == "remove" {
			sub.ValidArgsFunction = completeUser(&f.state)
		}
		if name := sub.Name(); name == "add" || name == "passwd" {
			sub.Flags().BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from the first line of standard input")
			sub.Flags().IntVar(&f.iterations, "iterations", scram.DefaultIterations, "PBKDF2 iterations (RFC 7677 asks for at least 4096)")
		}
	}
	return cmd
}

// command makes a subcommand that prepares the state directory and then does its work there.
func (f *userFlags) command(use, short string, args cobra.PositionalArgs, work func(home state.State, args []string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(_ *cobra.Command, args []string) error {
			if f.iterations < scram.MinIterations || f.iterations > scram.MaxIterations {
				return usagef("--iterations is %d to %d, not %d", scram.MinIterations, scram.MaxIterations, f.iterations)
			}
			home, err := prepare(f.state)
			if err != nil {
				return err
			}
			return work(home, args)
		},
	}
	addStateFlag(cmd, &f.state)
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

func (f *userFlags) add(home state.State, args []string) error {
	// Before it asks for a password in vain.
	if exists, _ := known(home, args[0]); exists {
		return fmt.Errorf("%q: %w; change it with: %s", args[0], users.ErrExists, commandLine("user passwd "+quoteArg(args[0]), f.state, ""))
	}
	password, err := newPassword(args[0], f.passwordStdin)
	if err != nil {
		return err
	}
	if err := users.Add(home.Users(), args[0], password, f.iterations); err != nil {
		return err
	}
	addr, _ := os.ReadFile(addrFile(home.Paths)) // none: the default
	fmt.Fprintf(os.Stderr, "added %s; next: %s\n", show.Printable(args[0]), commandLine("connect --user "+quoteArg(args[0]), f.state, string(addr)))
	return nil
}

// known reports whether a user exists. It is not certain if the file has faulty
// lines, because one of them may be that of the user.
func known(home state.State, name string) (known, certain bool) {
	prepared, unfit := scram.Prepare(name)
	all, faults := users.List(home.Users())
	known = slices.ContainsFunc(all, func(u users.Entry) bool { return u.Name == prepared })
	return known && unfit == nil, unfit == nil && faults == nil
}

func (f *userFlags) passwd(home state.State, args []string) error {
	if exists, certain := known(home, args[0]); certain && !exists {
		return fmt.Errorf("%q: %w; add it with: %s", args[0], users.ErrNoUser, commandLine("user add "+quoteArg(args[0]), f.state, ""))
	}
	password, err := newPassword(args[0], f.passwordStdin)
	if err != nil {
		return err
	}
	return users.SetPassword(home.Users(), args[0], password, f.iterations)
}

func (f *userFlags) remove(home state.State, args []string) error {
	if err := users.Remove(home.Users(), args[0]); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "removed %s, who can't log in again; a session that runs goes on: %s ends it\n",
		show.Printable(args[0]), commandLine("evict --user "+quoteArg(args[0]), f.state, ""))
	return nil
}

func (f *userFlags) list(home state.State, _ []string) error {
	all, err := users.List(home.Users())
	out := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, u := range all {
		fmt.Fprintf(out, "%s\t%d iterations\n", u.Name, u.Iterations)
	}
	if e := out.Flush(); e != nil {
		return e
	}
	return err
}
