package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/lease"
	"github.com/sallyport/sallyport/cmd/sallyport/forward"
	"github.com/sallyport/sallyport/cmd/sallyport/shepherd"
	"github.com/sallyport/sallyport/cmd/sallyport/spool"
)

// quitTime bounds the wait for the reply to QUIT.
const quitTime = 5 * time.Second

type holdFlags struct {
	dialFlags
	forward string
}

func holdCommand() *cobra.Command {
	f := &holdFlags{}
	cmd := &cobra.Command{
		Use:   "hold [HOST:] [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command while holding the seat",
		Long: `Wait for the seat, run COMMAND while holding it, and leave with its exit code:
flock across machines, for jobs that queue for a rig.

If the seat is lost while COMMAND runs (the server stops, somebody takes over,
the network is cut), COMMAND gets SIGTERM, 5 s later SIGKILL, and the exit code
is 5, whatever COMMAND returned. It is 5 too if the seat can't be given back in
the end, because it may have been lost before.

On Linux everything that COMMAND has started is ended too, whatever its process
group or session, and even if hold is killed or stopped. Three things escape:
processes of another user (sudo), processes that another program started for COMMAND
(systemd-run, docker), and COMMAND's children if hold and its child process, which
ends them, are killed at once (pkill -9 -f sallyport). On other systems COMMAND's
process group is ended. What has left the group escapes, and everything does if hold
is killed.
If COMMAND leaves processes in the background, they are ended in the same way, and
only then the seat is given back.

On a terminal Ctrl-C and Ctrl-Z go to COMMAND. While COMMAND is stopped hold is
stopped too, and can't tell whether it has the seat. So on Linux a COMMAND that stays
stopped is ended, after 16 to 25 seconds with the default limits of serve. On other
systems, hold asks the server after fg.

The limits are those of the server: --queue-wait for the wait (by default 17m;
then the exit code is 5), and --session-limit for the seat. hold uses the seat
several times in the shorter of --idle-timeout and --vanish-timeout. When the
server has not answered in time, hold ends COMMAND so that it has ended before
the server gives the seat away. For that these limits must be 8 s or more.
Takeover, operator, session limit and shutdown take the seat at once: COMMAND has
ended 5 s after the server's message.
If that message is lost, or a tunnel or load balancer ends only the server's side of
the connection, the server seats the next client at once, and hold notices it by a
ping without an answer. With the default limits COMMAND has ended after 29 s: 9 s until
the next ping, 15 s for its answer, and 5 s to stop. (The time between pings is a third
of the shorter limit less 5 s, and at most 20 s.)

With --forward COMMAND gets a local port to the server's backend, as often as it
connects, one connection at a time. SALLYPORT_FORWARD in its environment is the
address: 127.0.0.1:40123, or unix:PATH as it was given. sallyport forward --help
says how such a connection ends. What COMMAND has sent before it ends still goes to
the backend before the seat is given back. COMMAND must read the backend's output:
if it leaves megabytes unread for longer than the shorter limit, hold no longer knows
whether it has the seat, and ends COMMAND.
SALLYPORT_FORWARD does not set the flag, because a hold in a hold would take the port
of the outer one.

` + findHelp,
		Example: `  sallyport hold --addr rig:7443 --user ci --password-file pw -- make test-on-rig
  sallyport hold --fleet etcd://etcd1:2379/lab --any --tag board=imx8 -- make test-on-rig
  sallyport hold --user ci --forward 0 -- sh -c './measure --port ${SALLYPORT_FORWARD##*:}'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return hold(f, args) },
	}
	f.define(cmd)
	f.find.define(cmd)
	cmd.Flags().StringVar(&f.forward, "forward", "", "local `address` that joins COMMAND to the backend: HOST:PORT, PORT (0 chooses one) or unix:PATH")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func hold(f *holdFlags, args []string) error {
	surviveBrokenPipes()
	if _, err := exec.LookPath(args[0]); err != nil {
		return err
	}
	dialer, who, err := f.prepare()
	if err != nil {
		return err
	}
	// A full pipe must not keep hold from renewing its lease, or from noticing that the seat is lost.
	notices := spool.New(os.Stderr)
	defer notices.Close(time.Second)
	f.notices = notices
	h := &holding{stderr: notices}
	dialer.AskTimeouts = true
	if f.forward != "" {
		if err := h.listen(f.forward); err != nil {
			return err
		}
		defer h.port.Close()
	}
	return f.with(dialer, (*client.Dialer).Dial, who, func(ctx context.Context, c login) error {
		h.client, h.conn, h.seat = c.Client, c.conn, forward.NewSeat(c.Client)
		h.seat.Active = true
		return h.run(ctx, args)
	})
}

// holding is a command that runs while its client has the seat.
type holding struct {
	client  *client.Client
	seat    *forward.Seat // of client
	port    *forward.Port // of --forward, or nil
	conn    net.Conn      // the TCP connection of client
	lease   lease.Lease
	command *shepherd.Process
	stderr  io.Writer
}

// lostError says why the seat was lost. Its exit code is 5.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

func lost(err error) error { return lostError{fmt.Errorf("the seat was lost: %w", err)} }

// run runs a command until it ends or the seat is lost. It keeps the connection until the command has ended,
// because closing it would free the seat.
func (h *holding) run(ctx context.Context, args []string) (err error) {
	if h.lease, err = lease.New(lease.Limits(h.client.Timeouts()), time.Now()); err != nil {
		return fmt.Errorf("%s was not started: %w", args[0], err)
	}
	if err := h.lease.Ping(ctx, h.seat.Ping); err != nil {
		return cause(ctx, lost(err))
	}
	if err := h.check(ctx); err != nil {
		return cause(ctx, err)
	}
	if h.command, err = shepherd.Start(args, h.conn, h.lease.StopBy()); err != nil {
		return err
	}
	held, lose := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		if err := h.keep(held); err != nil {
			lose(err)
		}
	}()
	stop := context.AfterFunc(held, h.command.Stop)
	served := h.forward(held)
	code, err := h.command.Wait()
	stop()
	h.drain(held, served)
	known := context.Cause(held)
	lose(nil)
	<-kept // it uses the lease
	if ctx.Err() != nil {
		known = nil
	}
	if why := seatLost(known, err, h.lease); why != nil {
		return why
	}
	return h.leave(code, err)
}

// seatLost returns why the seat was lost before the command ended, or nil. hold may see the end of the command first,
// with the error over, or that of its lease, with the error known. The shepherd does not know which limit its time
// comes from.
func seatLost(known, over error, l lease.Lease) error {
	switch {
	case known != nil:
		return lost(known)
	case errors.Is(over, shepherd.ErrOver) && l.EndsWithSession():
		return lost(lease.ErrSession)
	case errors.Is(over, shepherd.ErrOver):
		return lost(over)
	}
	return nil
}

// leave gives the seat back. If hold itself got a signal, that does not change the exit code: the command may
// have ended by itself.
func (h *holding) leave(code int, err error) error {
	quit, cancel := context.WithTimeout(context.Background(), quitTime)
	defer cancel()
	switch failed := h.seat.Quit(quit); {
	case failed != nil:
		return lostError{fmt.Errorf("the command ended with exit code %d, but the seat may have been lost before: %w", code, failed)}
	case err == nil && code != 0:
		return statusError{code}
	}
	return err
}

// keep renews the lease until ctx ends, and returns why the seat is lost.
func (h *holding) keep(ctx context.Context) (err error) {
	for notices := h.client.Notices(); err == nil; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(h.lease.NextPing())):
			if err = h.lease.Ping(ctx, h.seat.Ping); err == nil {
				h.command.Renew(h.lease.StopBy())
			}
		case n, open := <-notices:
			if !open {
				return h.client.Err()
			}
			operatorSays(h.stderr, n)
		case <-h.command.Paused():
			h.command.Pause()
			err = h.resume(ctx)
		case <-h.command.Continued():
			err = h.resume(ctx)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// resume continues a stopped command if hold still has the seat.
func (h *holding) resume(ctx context.Context) error {
	if err := h.lease.Resume(ctx, h.seat.Ping); err != nil {
		return err
	}
	h.command.Renew(h.lease.StopBy())
	h.command.Continue()
	return nil
}

// superviseCommand runs the shepherd, the process between hold or serve and a command.
func superviseCommand(args []string) int {
	code, err := shepherd.Main(args)
	if err != nil {
		stderr := spool.New(os.Stderr) // hold keeps the seat until this process has ended
		fmt.Fprintln(stderr, "sallyport:", message(err))
		stderr.Close(time.Second)
		return exitFailed
	}
	return code
}
