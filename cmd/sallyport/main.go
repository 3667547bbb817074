// Command sallyport serves one authenticated session at a time over TLS, and is
// the client of such a server. See sallyport --help.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/cmd/sallyport/shepherd"
	"github.com/sallyport/sallyport/cmd/sallyport/spool"
	"github.com/sallyport/sallyport/server/audit/show"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == shepherd.Subcommand {
		os.Exit(superviseCommand(os.Args[2:]))
	}
	os.Exit(run(os.Args[1:]))
}

// run executes the command line and returns the exit code.
func run(args []string) int {
	root := rootCommand()
	root.SetArgs(withHost(root, args))
	root.SetOut(stdout)
	began := false // the flags and arguments are valid, and the command runs
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if unknown := unknownVariables(root, os.Environ()); len(unknown) > 0 && !strings.HasPrefix(cmd.Name(), cobra.ShellCompRequestCmd) {
			fmt.Fprintf(os.Stderr, "warning: no command has a flag for %s in the environment\n", show.Printable(strings.Join(unknown, ", ")))
		}
		if err := errors.Join(fromEnvironment(cmd.Flags()), fromHosts(cmd.Flags())); err != nil {
			return err
		}
		began = true
		return nil
	}
	cmd, err := root.ExecuteC()
	if lost := stdout.lost(); err == nil || lost != nil && errors.Is(err, lost) {
		err, began = lost, true
	}
	if err == nil {
		return exitDone
	}
	var status statusError
	if errors.As(err, &status) {
		return status.code
	}
	stderr := spool.New(os.Stderr) // a full pipe must not keep the process alive
	defer stderr.Close(time.Second)
	fmt.Fprintf(stderr, "%s: %s%s\n", cmd.CommandPath(), message(err), advice(err))
	var usage usageError
	if !began || errors.As(err, &usage) {
		fmt.Fprintf(stderr, "see %s --help\n", cmd.CommandPath())
		return exitUsage
	}
	return exitCode(err)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sallyport",
		Short: "Serve one authenticated session at a time over TLS, and log all of it",
		Long: `Sallyport guards what only one client may drive at a time: an instrument, a
serial console, a rig. It serves one client over TLS after a SCRAM login, lets
the others wait, and keeps a log that shows any later change.

On one machine, in two terminals:

  sallyport serve                        # makes its keys and files by itself
  sallyport user add alice               # asks for a password
  sallyport connect --user alice         # asks for it and talks to the server

A flag can also be given in the environment: --queue-depth as
SALLYPORT_QUEUE_DEPTH. A flag on the command line wins. A variable that begins
with SALLYPORT_ and is no flag is named on standard error.

Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  no connection, or TLS refused
  4  login failed, or the server could not prove itself
  5  no seat
  6  the request was refused or failed`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("sallyport {{.Version}}\n")
	root.AddCommand(serveCommand(), connectCommand(), holdCommand(), forwardCommand(), hostsCommand(), rigsCommand(),
		statusCommand(), evictCommand(), reloadCommand(), stopCommand(),
		userCommand(), certCommand(), logCommand(), replayCommand(), probeCommand(), versionCommand())
	root.SetHelpFunc(showHelp)
	root.SetHelpCommand(helpCommand())
	complete(root)
	plainUsage(root)
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of this program and of Go, and the commit",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(stdout, "sallyport", cmd.Root().Version)
			return err
		},
	}
}

// version returns the versions of this program and of Go, and the commit, as far as the build recorded them.
func version() string {
	version, commit := build()
	return fmt.Sprintf("%s commit %s %s", version, commit, runtime.Version())
}

// build returns the version and the commit of this build.
func build() (version, commit string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)", "unknown"
	}
	commit, dirty := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	return info.Main.Version, commit + dirty
}

// group adds subcommands to a command that does nothing by itself.
func group(cmd *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(subs...)
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return usagef("say what to do: %s", strings.Join(subcommands(cmd), ", "))
	}
	return cmd
}
