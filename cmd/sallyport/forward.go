package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/cmd/sallyport/forward"
	"github.com/sallyport/sallyport/cmd/sallyport/spool"
	"github.com/sallyport/sallyport/protocol/scram"
)

type forwardFlags struct {
	dialFlags
	local      string
	keep, once bool
}

func forwardCommand() *cobra.Command {
	f := &forwardFlags{}
	cmd := &cobra.Command{
		Use:   "forward [HOST:] --listen ADDRESS",
		Short: "Give programs on this machine a local port to the backend",
		Long: `Listen on a local port, for programs that know a host and a port and nothing of
Sallyport. Each connection to it takes the seat, is joined to the server's backend,
and gives the seat back when it ends. One is served at a time. Up to 16 wait, and
nothing is read from them until they have the seat; more are reset at once.

With --keep the seat is taken once and kept, also while no program is connected,
until you interrupt forward. With --once forward ends after the first connection.

Standard error has these lines:

  forwarding 127.0.0.1:5025           programs may connect
  waiting: position 1 holder alice    somebody else has the seat
  seated                              it is yours
  1 waiting                           somebody waits for the seat
  ended: 6 bytes to the backend, 13 from it

A program sees how its connection ended. When the backend ends, so does what the
program reads. When the seat is lost or never comes, or the backend breaks, the
program gets the rest of the backend's output (it has 2 s to read it) and then
"connection reset by peer", so that it does not take this for a good end. A Unix
socket has no reset and is closed; look at standard error and the exit code. A program
that leaves while it waits leaves the queue. Its input is sent to the backend only if
the seat comes within 5 s, so that no command is carried out long after its user gave
up.

A connection without any traffic is reset 2.5 s before the server's
--idle-timeout. If the server stops answering, it is reset 2.5 s before the server can
take the client for dead. Both happen before the next client is seated. --keep
counts as activity. A program that reads nothing keeps its connection until the idle
limit. If the seat is lost meanwhile, the program sees the reset when it reads on.

ADDRESS is HOST:PORT, PORT (on 127.0.0.1; 0 chooses one) or unix:PATH, a socket that
only you can connect to. Every program that reaches the port uses the seat in your name, without
a password. So forward listens on 127.0.0.1 unless ADDRESS has another HOST, and then
it warns.

At the start forward logs in without taking the seat, and ends with code 3 or 4 if the
server can't be reached, its certificate is not trusted, or the password is wrong.
Without --keep and --once a connection that fails is reported on standard error, and
the next one is served. forward ends with code 4 when a login is refused later, and
with 1 when the server has no backend or is too old. With --keep it ends when the seat
is lost, with --once after the first connection: with 5 if there is no seat (busy,
waited too long, evicted), with 6 if the backend can't be reached or breaks. SIGTERM
and Ctrl-C end it with 0, also if they cut a connection; with --once that is 1.

` + findHelp + `
Without --keep each connection chooses anew.`,
		Example: `  sallyport forward --user alice --addr rig:7443 --listen 5025
  sallyport forward --user alice --listen unix:/run/user/1000/rig --keep
  sallyport forward --user alice --password-file pw --listen 5025 --once`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return f.run() },
	}
	f.define(cmd)
	f.find.define(cmd)
	cmd.Flags().StringVar(&f.local, "listen", "", "local `address`: HOST:PORT, PORT (on 127.0.0.1; 0 chooses one) or unix:PATH")
	cmd.Flags().BoolVar(&f.keep, "keep", false, "keep the seat between connections")
	cmd.Flags().BoolVar(&f.once, "once", false, "end after the first connection")
	return cmd
}

func (f *forwardFlags) run() error {
	surviveBrokenPipes()
	if f.local == "" {
		return usagef("say with --listen where programs connect, as in: sallyport forward --listen 5025")
	}
	dialer, who, err := f.prepare()
	if err != nil {
		return err
	}
	notices := spool.New(os.Stderr) // a full pipe must not keep local connections waiting
	defer notices.Close(time.Second)
	f.notices = notices
	say := sayTo(notices)
	dialer.AskTimeouts = true
	// The second connection of one forward costs less than the first.
	dialer.Keys, dialer.TLSConfig.ClientSessionCache = &scram.KeyCache{}, tls.NewLRUClientSessionCache(1)
	ctx, cancel := notifyContext()
	defer cancel()
	if err := f.check(ctx, dialer, who); err != nil {
		return err
	}
	port, err := listenLocally("--listen", f.local, say)
	if err != nil {
		return err
	}
	defer port.Close()
	forwarder := &forward.Forwarder{
		Port: port, Say: say, Once: f.once,
		Dial: func(ctx context.Context) (*client.Client, net.Conn, error) {
			l, err := f.dial(ctx, dialer, (*client.Dialer).Dial, who)
			return l.Client, l.conn, err
		},
		Final: func(err error) bool { return exitCode(err) == exitLogin },
	}
	serve := forwarder.Each
	if f.keep {
		serve = forwarder.Keep
	}
	if err = serve(ctx); err != nil && ctx.Err() != nil && !f.once {
		say("ended: %v", err) // a signal is how forward ends, whatever it cuts
		return nil
	}
	return err
}

// check logs in without a seat, so that a wrong address, CA or password is known before a program needs the port. A
// server that is too old for that is not asked.
func (f *forwardFlags) check(ctx context.Context, dialer *client.Dialer, who client.Credentials) error {
	if f.keep {
		return nil // it takes the seat at once
	}
	stat := func(d *client.Dialer, ctx context.Context, addr string, who client.Credentials) (*client.Client, error) {
		_, err := d.Stat(ctx, addr, who)
		return nil, err
	}
	_, err := f.dial(ctx, dialer, stat, who)
	if errors.Is(err, client.ErrNoStat) {
		return nil
	}
	return err
}

// sayTo returns a function that writes lines for a person.
func sayTo(w io.Writer) forward.Say {
	return func(format string, arguments ...any) { fmt.Fprintln(w, message(fmt.Errorf(format, arguments...))) }
}

// listenLocally opens the local port of a flag, and says where it is.
func listenLocally(flag, addr string, say forward.Say) (*forward.Port, error) {
	port, err := forward.Listen(addr, say)
	switch {
	case errors.Is(err, forward.ErrAddress):
		return nil, usagef("%s: %v", flag, err)
	case err != nil:
		return nil, err
	}
	say("forwarding %s", port.Addr())
	if port.Exposed() {
		say("WARNING: other machines may reach %s: who does uses the seat in your name, without a password and unencrypted", port.Addr())
	}
	return port, nil
}
