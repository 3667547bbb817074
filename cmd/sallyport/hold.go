package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

const (
	// keepAlive is how often hold sends a request, so that the server does not take it for idle.
	keepAlive = 20 * time.Second
	// killAfter is the time that a command has to end after its seat was lost.
	killAfter = 5 * time.Second
)

func holdCommand() *cobra.Command {
	f := &dialFlags{}
	cmd := &cobra.Command{
		Use:   "hold [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command while holding the seat",
		Long: `Wait for the seat, run COMMAND while holding it, and leave with its exit code:
flock across machines, for jobs that queue for a rig.

If the seat is lost while COMMAND runs (the server stops, somebody takes over),
COMMAND gets SIGTERM, 5 s later SIGKILL, and the exit code says why the seat was
lost, not what COMMAND returned. What COMMAND has started gets the SIGTERM too,
unless standard input is a terminal.

The limits are those of the server: --queue-wait for the wait (by default 17m;
then the exit code is 5), and --session-limit for the seat. hold uses the seat
every 20 s; with a shorter --idle-timeout of the server it loses the seat.`,
		Example: `  sallyport hold --addr rig:7443 --user ci --password-file pw -- make test-on-rig`,
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return hold(f, args) },
	}
	f.define(cmd)
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func hold(f *dialFlags, args []string) error {
	if _, err := exec.LookPath(args[0]); err != nil {
		return err
	}
	dialer, who, err := f.prepare()
	if err != nil {
		return err
	}
	return f.withSeat(dialer, who, func(ctx context.Context, c *client.Client) error { return runHolding(ctx, c, args) })
}

// runHolding runs a command until it ends or the seat is lost.
func runHolding(ctx context.Context, c *client.Client, args []string) error {
	held, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	go keep(held, c, lose)
	cmd := exec.CommandContext(held, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	ownGroup(cmd)
	cmd.Cancel = func() error { return terminate(cmd) }
	cmd.WaitDelay = killAfter
	err := cmd.Run()
	if lost := context.Cause(held); lost != nil && ctx.Err() == nil {
		return fmt.Errorf("the seat was lost: %w", lost)
	}
	quit, stop := context.WithTimeout(context.Background(), killAfter)
	defer stop()
	_ = c.Quit(quit)
	return commandStatus(cmd, err)
}

// keep uses the seat until ctx ends. When the seat is lost it calls lose.
func keep(ctx context.Context, c *client.Client, lose context.CancelCauseFunc) {
	notices, tick := c.Notices(), time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := c.Do(ctx, protocol.Request{Verb: protocol.VerbWhoami}); err != nil {
				lose(err)
				return
			}
		case n, open := <-notices:
			if !open {
				lose(c.Err())
				return
			}
			operatorSays(n)
		}
	}
}

// commandStatus returns the command's own exit code: after signal n it is 128 + n,
// as in a shell. err is why the command could not be run. A signal to hold does
// not change the exit code: the command may have ended by itself all the same.
func commandStatus(cmd *exec.Cmd, err error) error {
	state := cmd.ProcessState
	switch {
	case state == nil:
		return err
	case state.Success():
		return nil
	}
	code := state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int(status.Signal())
	}
	return statusError{code}
}
