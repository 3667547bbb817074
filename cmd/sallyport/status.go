package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/control"
	"github.com/sallyport/sallyport/server/state"
)

// askTime is how long a command waits for the server's answer on the control socket.
const askTime = 5 * time.Second

// statusFlags are the flags of status.
type statusFlags struct {
	dialFlags
	json, watch bool
}

func statusCommand() *cobra.Command {
	f := &statusFlags{}
	cmd := &cobra.Command{
		Use:   "status [HOST:]",
		Short: "Show who has the seat, who waits, and how the server is",
		Long: `Show who has the seat, from where, since when, how long it has been idle and what
runs; who waits; who is kept out; and how the backend, the log and the
certificate are. The exit code is 0 if the seat is free, 5 if it is taken, and 3
if no server answers. A seat that servers share (--fleet-seat) is taken at one of
them, whose address is in the page of all.

It asks the server on this machine over control.sock in the state directory, as
the server's user or root. It answers also while a request hangs, and while the
disk of the log is full or stuck.

With --addr, --host or rig1: (of the file of hosts) it asks a server elsewhere,
with the flags of connect. That needs a login, and takes neither the seat nor a
place in the queue. A server says less then: who has the seat, since when, idle how
long, and how many wait. SALLYPORT_ADDR and SALLYPORT_HOST do not set these flags, so
that status without them is always about this machine.

--watch shows each change until Ctrl-C: on a terminal it draws the page again, to
a pipe it writes a line for each change.

--json prints an object. The README has its fields under "Status as JSON".`,
		Example: `  sallyport status
  sallyport status --watch
  sallyport status --json | jq -r .holder.user
  sallyport status --addr rig1.example --user alice
  until sallyport status >/dev/null; do sleep 5; done; echo free`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Flags()) },
	}
	f.define(cmd)
	flags := cmd.Flags()
	for _, name := range []string{"no-wait", "max-body"} {
		_ = flags.MarkHidden(name) // they mean nothing without a seat
	}
	for _, name := range []string{"addr", "host"} {
		_ = flags.SetAnnotation(name, noVariable, nil) // no error: the flags are there
	}
	addr := flags.Lookup("addr")
	addr.DefValue, addr.Usage = "", "`address` of a server elsewhere, HOST or HOST:PORT, to ask with a login"
	flags.Lookup("state").Usage = "state `directory` of the server on this machine (default $XDG_STATE_HOME/sallyport)"
	flags.BoolVar(&f.json, "json", false, "print an object")
	flags.BoolVarP(&f.watch, "watch", "w", false, "show each change until Ctrl-C")
	return cmd
}

func (f *statusFlags) run(flags *pflag.FlagSet) error {
	if flags.Changed("addr") {
		return f.elsewhere()
	}
	if login := onCommandLine(flags, "user", "password-file", "password-stdin", "ca", "pin", "cert", "key", "server-name", "tls-min"); login != "" {
		return usagef("--%s goes with --addr: on this machine status needs no login", login)
	}
	c, err := controlClient(f.state)
	if err != nil {
		return err
	}
	if f.watch {
		return f.follow(c)
	}
	s, err := ask(c.Status)
	if err != nil {
		return err
	}
	if f.json {
		err = printJSON(s)
	} else {
		page := statusPage(s, time.Now(), terminalWidth())
		_, err = stdout.Write([]byte(page))
	}
	return orTaken(err, s.Holder != nil || s.Elsewhere() != nil)
}

// onCommandLine returns the first of the flags that is set otherwise than by the environment, or "".
func onCommandLine(flags *pflag.FlagSet, names ...string) string {
	i := slices.IndexFunc(names, func(name string) bool {
		flag := flags.Lookup(name)
		return flag != nil && flag.Changed && os.Getenv(variable(flag)) != flag.Value.String()
	})
	if i < 0 {
		return ""
	}
	return names[i]
}

// controlClient returns the client of the server on a state directory.
func controlClient(stateFlag string) (*control.Client, error) {
	dir, err := stateDir(stateFlag)
	return &control.Client{Path: state.Paths{Dir: dir}.Control()}, err
}

// ask waits for an answer of the server.
func ask[T any](question func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	return question(ctx)
}

// orTaken returns the error, or the exit code of a taken seat.
func orTaken(err error, taken bool) error {
	if err == nil && taken {
		return statusError{exitNoSeat}
	}
	return err
}

func printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		_, err = stdout.Write(append(text, '\n'))
	}
	return err
}

// remoteStatus is what a server says to a user who asks without a seat. Its fields are as in control.Status.
type remoteStatus struct {
	Holder      *remoteHolder `json:"holder"`
	QueueLength int           `json:"queue_length"`
	Served      int           `json:"served"`
	Uptime      float64       `json:"uptime"`
}

type remoteHolder struct {
	User  string    `json:"user"`
	Since time.Time `json:"since"`
	Idle  float64   `json:"idle"`
}

// elsewhere asks with a login.
func (f *statusFlags) elsewhere() error {
	if f.watch {
		return usagef("--watch is for a server on this machine: with --addr each look would be a login")
	}
	dialer, who, err := f.prepare()
	if err != nil {
		return err
	}
	ctx, cancel := notifyContext()
	defer cancel()
	if dialer, err = f.pinned(ctx, dialer, withPort(f.addr)); err != nil {
		return cause(ctx, f.hint(err))
	}
	reply, err := dialer.Stat(ctx, withPort(f.addr), who)
	if err != nil {
		return f.explain(ctx, err, who.Username)
	}
	s := parseStat(reply)
	if f.json {
		err = printJSON(s)
	} else {
		_, err = fmt.Fprint(stdout, s.page(time.Now()))
	}
	return orTaken(err, s.Holder != nil)
}

// parseStat reads the lines of STAT. It ignores lines that it does not know.
func parseStat(reply protocol.Reply) (s remoteStatus) {
	holder := remoteHolder{}
	for line := range strings.Lines(reply.Text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, _ := strconv.Atoi(value)
		switch key {
		case "holder":
			holder.User, s.Holder = value, &holder
		case "since":
			holder.Since, _ = time.Parse(time.RFC3339, value)
		case "idle":
			holder.Idle = float64(number)
		case "waiting":
			s.QueueLength = number
		case "served":
			s.Served = number
		case "uptime":
			s.Uptime = float64(number)
		}
	}
	return s
}
