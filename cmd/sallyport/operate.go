package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/control"
	"github.com/sallyport/sallyport/server/state"
)

// operatorHelp ends the help of the commands for the operator.
const operatorHelp = `

It asks the server on this machine over control.sock in the state directory, as
the server's user or root. The exit code is 3 if no server answers. The log has
an event "operator" with the name of the one who asked.`

func evictCommand() *cobra.Command {
	var dir string
	var e control.Eviction
	cmd := &cobra.Command{
		Use:   "evict",
		Short: "Make the holder of the seat leave, or a client that waits or watches",
		Long: `Make the holder of the seat leave. With --user it is all clients of a user, with
--conn one connection, whether they have the seat, wait or watch. "sallyport status"
shows who has the seat and who waits, and "sallyport log show --event watch.open"
who has begun to watch.

The client gets "421 evicted", the reason, and who evicts it. Its running request
is cancelled, and the seat is free as soon as that has returned. A hold has 5 s
to end its command. The user may come again: to keep a user out, remove it first
(sallyport user remove).` + operatorHelp,
		Example: `  sallyport evict --reason "the rig is needed for a repair"
  sallyport evict --user bob
  sallyport evict --conn K4ZQ7M-12`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for name, value := range map[string]string{"user": e.User, "conn": e.Conn} {
				if value == "" && cmd.Flags().Changed(name) { // an unset variable of a script is not the holder
					return usagef("--%s is empty; leave it out to evict the holder", name)
				}
			}
			return evict(dir, e)
		},
	}
	addStateFlag(cmd, &dir)
	cmd.Flags().StringVar(&e.User, "user", "", "`name` of the user whose clients leave")
	cmd.Flags().StringVar(&e.Conn, "conn", "", "`id` of the connection that leaves")
	cmd.Flags().StringVar(&e.Reason, "reason", "", "`text` for the client")
	return cmd
}

func evict(dir string, e control.Eviction) error {
	c, err := controlClient(dir)
	if err != nil {
		return err
	}
	gone, err := ask(func(ctx context.Context) (control.Evicted, error) { return c.Evict(ctx, e) })
	for _, p := range gone.Evicted {
		fmt.Fprintf(stdout, "evicted %s from %s, connection %s\n", show.Printable(p.User), show.Printable(p.Remote), show.Printable(p.Conn))
	}
	return err
}

func reloadCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make the server load certificate, users and log anew",
		Long: `Make the server load the certificate and the users anew, and open the log again
where it was moved away, as SIGHUP does. What can't be loaded stays as it was, and
the exit code is 1. It is 1 too if the users have a faulty line, which is ignored.` + operatorHelp,
		Example: `  mv audit.jsonl audit.jsonl.1 && sallyport reload`,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return reload(dir) },
	}
	addStateFlag(cmd, &dir)
	return cmd
}

func reload(dir string) error {
	c, err := controlClient(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*askTime)
	defer cancel()
	if err = c.Reload(ctx); err == nil {
		fmt.Fprintln(stdout, "reloaded certificate, users and log file")
	}
	return err
}

func stopCommand() *cobra.Command {
	var dir string
	var now bool
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Stop the server",
		Long: `Stop the server as SIGTERM does, and wait for its end. The running request may
end, within --shutdown-grace of serve; clients that wait get "421 shutdown". With
--now the running request is cut off, also if a stop without --now waits for it.` + operatorHelp,
		Example: `  sallyport stop
  sallyport stop --now --state /srv/rig`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return stop(dir, now) },
	}
	addStateFlag(cmd, &dir)
	cmd.Flags().BoolVar(&now, "now", false, "cut the running request off")
	return cmd
}

func stop(dir string, now bool) error {
	c, err := controlClient(dir)
	if err != nil {
		return err
	}
	s, err := ask(func(ctx context.Context) (control.Stopped, error) { return c.Stop(ctx, now) })
	if err != nil {
		return err
	}
	if !now {
		sayWaiting(c, s.Grace)
	}
	dir, _ = stateDir(dir)
	wait := time.Duration(s.Grace*float64(time.Second)) + 2*askTime
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if !(state.Paths{Dir: dir}).Locked() {
			fmt.Fprintln(stdout, "stopped")
			return nil
		}
	}
	return fmt.Errorf("the server has begun its shutdown, but it still runs after %v: see sallyport status", wait)
}

// sayWaiting says which request the server lets end before it stops.
func sayWaiting(c *control.Client, grace float64) {
	s, err := ask(c.Status)
	if err == nil && s.Holder != nil && s.Holder.Running != "" {
		fmt.Fprintf(os.Stderr, "waiting for %s of %s, %v at most: sallyport stop --now cuts it off\n",
			show.Printable(s.Holder.Running), show.Printable(s.Holder.User), time.Duration(grace*float64(time.Second)))
	}
}
