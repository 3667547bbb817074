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
	// keepAlive is how often hold asks something, because a seat is for those
	// who use it.
	keepAlive = 20 * time.Second
	// killAfter is how long a command has to end after its seat was lost.
	killAfter = 5 * time.Second
)

func holdCommand() *cobra.Command {
	f := &dialFlags{}
	cmd := &cobra.Command{
		Use:   "hold [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command while holding the seat",
		Long: `Wait for the seat, run COMMAND while holding it, and leave with its exit code:
flock across machines, for jobs that queue for a rig.

If the seat is lost while COMMAND runs (the server stops, somebody takes over)
COMMAND gets SIGTERM, after 5 s SIGKILL, and the exit code says why, not what
COMMAND returned. What COMMAND has started gets the SIGTERM, too, unless
standard input is a terminal.

The server's settings hold: one may wait for as long as its --queue-wait says
(by default 1m; then the exit code is 5), and have the seat for its
--session-limit. The seat is used every 20 s; an --idle-timeout shorter than
that loses it.`,
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
	ctx, cancel := notifyContext()
	defer cancel()
	c, err := f.dial(ctx, dialer, who)
	if err != nil {
		return err
	}
	defer c.Close()
	held, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	go keep(held, c, lose)
	cmd := exec.CommandContext(held, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	ownGroup(cmd)
	cmd.Cancel = func() error { return terminate(cmd) }
	cmd.WaitDelay = killAfter
	err = cmd.Run()
	if lost := context.Cause(held); lost != nil && ctx.Err() == nil {
		return fmt.Errorf("the seat was lost: %w", lost)
	}
	quit, stop := context.WithTimeout(context.Background(), killAfter)
	defer stop()
	_ = c.Quit(quit)
	return commandStatus(cmd, err)
}

// keep holds the seat until ctx ends, and tells when it was lost.
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

// commandStatus leaves with the command's own exit code, 128 + n after a
// signal as a shell does; err is why it could not be run. That hold was asked to
// end changes nothing: the command may have come to its end all the same.
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
