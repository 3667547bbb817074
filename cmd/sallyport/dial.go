package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/secure"
	"github.com/sallyport/sallyport/client/stream"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/audit/show"
)

// dialFlags are the flags with which connect, hold and forward get the seat.
type dialFlags struct {
	trustFlags
	addr, user, passwordFile string
	passwordStdin, noWait    bool
	maxBody                  sizeFlag
	host                     hostFlag
	find                     findFlags
	notices                  io.Writer // gets notices; define sets standard error
}

func (f *dialFlags) define(cmd *cobra.Command) {
	f.maxBody, f.notices = 1<<20, os.Stderr
	flags := cmd.Flags()
	flags.StringVar(&f.addr, "addr", defaultAddr, "`address` of the server, HOST or HOST:PORT")
	f.defineTrust(flags)
	flags.StringVar(&f.user, "user", "", "`name` to log in with (default: yours on this machine)")
	flags.StringVar(&f.passwordFile, "password-file", "", "`file` whose first line is the password")
	flags.BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from the first line of standard input")
	f.defineTLS(flags)
	flags.Var(&f.host, "host", "`name` of a server in the file of hosts, which has the flags for it; rig1: before the other arguments is the same")
	_ = cmd.RegisterFlagCompletionFunc("host", completeHost) // no error: the flag is there
	flags.BoolVar(&f.noWait, "no-wait", false, "give up with exit code 5 rather than wait for the seat")
	flags.Var(&f.maxBody, "max-body", "largest body that a reply may have")
}

// prepare makes a dialer, and asks for the password. It must be called before
// signals are caught: a caught signal does not end a read of standard input.
func (f *dialFlags) prepare() (dialer *client.Dialer, who client.Credentials, err error) {
	if err := cmp.Or(f.find.check(), checkAddr(f.addr)); err != nil {
		return nil, who, err
	}
	f.byDirectory = f.find.asked()
	config, err := f.tlsConfig()
	if err != nil {
		return nil, who, err
	}
	who, err = f.credentials()
	return &client.Dialer{
		TLSConfig: config, NoWait: f.noWait, MaxBody: int64(f.maxBody),
		OnNotice: func(n client.Notice) { fmt.Fprintln(f.notices, "waiting:", show.Printable(n.Text)) },
	}, who, err
}

// dialing is the method Dial or Watch of a client.Dialer.
type dialing func(d *client.Dialer, ctx context.Context, addr string, who client.Credentials) (*client.Client, error)

// with logs in with dial, which waits for the seat or watches, and calls use. A signal cancels the context of use.
func (f *dialFlags) with(dialer *client.Dialer, dial dialing, who client.Credentials, use func(context.Context, login) error) error {
	ctx, cancel := notifyContext()
	defer cancel()
	c, err := f.dial(ctx, dialer, dial, who)
	if err != nil {
		return err
	}
	defer c.close()
	f.addr = c.addr // for messages
	return use(ctx, c)
}

// dial logs in, at --addr or at a rig of the directory. Its errors say what the user can do.
func (f *dialFlags) dial(ctx context.Context, dialer *client.Dialer, dial dialing, who client.Credentials) (login, error) {
	if f.find.asked() {
		return f.dialFound(ctx, dialer, dial, who)
	}
	return f.dialTo(ctx, dialer, dial, who)
}

// dialTo logs in at --addr.
func (f *dialFlags) dialTo(ctx context.Context, dialer *client.Dialer, dial dialing, who client.Credentials) (l login, err error) {
	l.addr = withPort(f.addr)
	if dialer, err = f.pinned(ctx, dialer, l.addr); err != nil {
		return l, cause(ctx, f.hint(err))
	}
	own := *dialer
	own.DialContext = func(ctx context.Context, network, addr string) (_ net.Conn, err error) {
		l.conn, err = secure.DialTCP(ctx, network, addr)
		return l.conn, err
	}
	if l.Client, err = dial(&own, ctx, l.addr, who); err != nil {
		return l, f.explain(ctx, err, who.Username)
	}
	return l, nil
}

// explain adds to the error of a login what the user can do about it.
func (f *dialFlags) explain(ctx context.Context, err error, name string) error {
	switch reply, _ := errors.AsType[*protocol.ReplyError](err); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case reply != nil && reply.Keyword == protocol.KeywordLoginFailed:
		if f.cert != "" {
			return fmt.Errorf("%w: is the name %q right, and the password, and is %s this user's certificate?", err, name, f.cert)
		}
		return fmt.Errorf("%w: is the name %q right, and the password?", err, name)
	}
	return f.hint(notWatched(refusedLate(err, withPort(f.addr))))
}

// notifyContext returns a context that a signal ends. Its cause names the signal.
func notifyContext() (context.Context, context.CancelFunc) {
	all := endSignals()
	if len(all) == 0 { // NotifyContext would take that for all signals
		return context.WithCancel(context.Background())
	}
	return signal.NotifyContext(context.Background(), all...)
}

// checkAddr checks an --addr.
func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(withPort(addr))
	if err == nil && port != "" {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || port == "" {
		return usagef("--addr is HOST or HOST:PORT, with a port up to 65535, not %q", addr)
	}
	return nil
}

// withPort adds the default port to an address without a port.
func withPort(addr string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	host := addr
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	if _, err := netip.ParseAddr(host); err != nil && strings.Contains(host, ":") {
		return addr // for Dial to refuse
	}
	return net.JoinHostPort(host, defaultPort)
}

// noticeLabel labels what the server says beside replies: a message of the operator, or a warning.
const noticeLabel = "notice: "

// operatorSays prints what the operator or the server itself says.
func operatorSays(out io.Writer, n client.Notice) {
	if _, isBacklog := stream.Backlog(n); n.Code == protocol.CodeMessage && !isBacklog {
		fmt.Fprintln(out, noticeLabel+show.Printable(n.Text))
	}
}

func (f *dialFlags) credentials() (who client.Credentials, err error) {
	who.Username = f.user
	if who.Username == "" {
		me, err := user.Current()
		if err != nil {
			return who, usagef("your name on this machine is unknown: say with --user who you are")
		}
		who.Username = me.Username[strings.LastIndex(me.Username, `\`)+1:]
	}
	if f.passwordStdin || f.passwordFile != "" {
		who.Password, err = givenPassword(f.passwordStdin, f.passwordFile)
	} else {
		who.Password, err = askPassword(fmt.Sprintf("Password of %s: ", show.Printable(who.Username)))
	}
	if errors.Is(err, errNoTerminal) {
		err = fmt.Errorf("%w: use --password-file or --password-stdin", err)
	}
	return who, err
}
