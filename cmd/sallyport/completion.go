package main

import (
	"cmp"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/server/state"
	"github.com/sallyport/sallyport/server/users"
)

// flagValues are the values that a shell completes for a flag, whatever command has it.
var flagValues = map[string][]string{
	"admission": {
		"queue\tothers wait their turn", "reject\tothers are refused at once", "takeover\tthe newcomer gets the seat",
	},
	"tls-min":  {"1.3", "1.2"},
	"log-sync": {"none\tas the system writes it", "session\tat the end of each session", "record\tbefore each reply"},
}

// backendKinds begin the value of --backend, so no space follows them.
var backendKinds = []string{
	"tcp:\tHOST:PORT", "unix:\tPATH", "serial:\tDEVICE,SPEED,FORM", "exec:\tCOMMAND", "pty:\tCOMMAND on a terminal",
}

// complete lets a shell complete the values of all flags of a command and of those below it. Where a command takes
// no argument, it offers no file names.
func complete(cmd *cobra.Command) {
	if cmd.Args != nil && cmd.Args(cmd, []string{"a file"}) != nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if values := valuesOf(f); values != nil {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, values) // an error: the command has its own
		}
	})
	for _, sub := range cmd.Commands() {
		complete(sub)
	}
}

// valuesOf returns what completes the value of a flag. Nil means file names.
func valuesOf(f *pflag.Flag) cobra.CompletionFunc {
	placeholder, _ := pflag.UnquoteUsage(f)
	switch values := flagValues[f.Name]; {
	case placeholder == "file|fleet":
		return cobra.FixedCompletions([]string{"file\tof the state directory", "fleet\tin etcd, for all gates"}, cobra.ShellCompDirectiveNoFileComp)
	case values != nil:
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder)
	case f.Name == "backend":
		return cobra.FixedCompletions(backendKinds, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)
	case placeholder == "file":
		return nil
	case placeholder == "directory":
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
	}
	return cobra.NoFileCompletions
}

// completeUser completes the name of a user, of the fleet or of the state directory. Beside faults it completes the
// other names.
func completeUser(f *userFlags) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var all []users.Entry
		if f.fleet.url != "" {
			if place, err := f.place(); err == nil {
				all, _ = place.list()
			}
		} else if dir, err := stateDir(cmp.Or(f.state, os.Getenv(envPrefix+"STATE"))); err == nil {
			all, _ = users.List(state.Paths{Dir: dir}.Users())
		}
		for _, u := range all {
			names = append(names, u.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
