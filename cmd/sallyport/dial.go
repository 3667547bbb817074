package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"os/user"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/stream"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/state"
)

// dialFlags are the flags with which connect, hold and forward get the seat.
type dialFlags struct {
	addr, ca, state, user, passwordFile, serverName, tlsMin string
	passwordStdin, noWait                                   bool
	maxBody                                                 sizeFlag
	notices                                                 io.Writer // gets notices; define sets standard error
}

func (f *dialFlags) define(cmd *cobra.Command) {
	f.maxBody, f.notices = 1<<20, os.Stderr
	flags := cmd.Flags()
	flags.StringVar(&f.addr, "addr", defaultAddr, "`address` of the server, HOST or HOST:PORT")
	f.defineTrust(flags)
	flags.StringVar(&f.user, "user", "", "`name` to log in with (default: yours on this machine)")
	flags.StringVar(&f.passwordFile, "password-file", "", "`file` whose first line is the password")
	flags.BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from the first line of standard input")
	flags.StringVar(&f.serverName, "server-name", "", "`name` that the certificate must have (default: the host of --addr)")
	flags.StringVar(&f.tlsMin, "tls-min", "1.3", "lowest TLS version, 1.2 or 1.3")
	flags.BoolVar(&f.noWait, "no-wait", false, "give up with exit code 5 rather than wait for the seat")
	flags.Var(&f.maxBody, "max-body", "largest body that a reply may have")
}

// defineTrust adds the flags that say which CA is trusted.
func (f *dialFlags) defineTrust(flags *pflag.FlagSet) {
	flags.StringVar(&f.ca, "ca", "", "`file` with the CA to trust, and no other")
	flags.StringVar(&f.state, "state", "", "state `directory` of a server on this machine, whose CA is trusted (default $XDG_STATE_HOME/sallyport)")
}

// prepare makes a dialer, and asks for the password. It must be called before
// signals are caught: a caught signal does not end a read of standard input.
func (f *dialFlags) prepare() (dialer *client.Dialer, who client.Credentials, err error) {
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

// withSeat logs in, waits for the seat, and calls use with it. A signal ends the context of use.
func (f *dialFlags) withSeat(dialer *client.Dialer, who client.Credentials, use func(context.Context, *client.Client) error) error {
	ctx, cancel := notifyContext()
	defer cancel()
	c, err := f.dial(ctx, dialer, who)
	if err != nil {
		return err
	}
	defer c.Close()
	return use(ctx, c)
}

// dial logs in and waits for the seat. Its errors say what a person can do.
func (f *dialFlags) dial(ctx context.Context, dialer *client.Dialer, who client.Credentials) (*client.Client, error) {
	c, err := dialer.Dial(ctx, withPort(f.addr), who)
	switch reply, _ := errors.AsType[*protocol.ReplyError](err); {
	case err == nil:
		return c, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case reply != nil && reply.Keyword == protocol.KeywordLoginFailed:
		return nil, fmt.Errorf("%w: is the name %q right, and the password?", err, who.Username)
	}
	return nil, f.hint(err)
}

// notifyContext returns a context that a signal ends. Its cause names the signal.
func notifyContext() (context.Context, context.CancelFunc) {
	all := endSignals()
	if len(all) == 0 { // NotifyContext would take that for all signals
		return context.WithCancel(context.Background())
	}
	return signal.NotifyContext(context.Background(), all...)
}

// hint adds to an error of a connection what a person can do about it.
func (f *dialFlags) hint(err error) error {
	authority, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, otherName := errors.AsType[x509.HostnameError](err)
	switch err = f.inWords(err); {
	case unknown && (strings.Contains(authority.Error(), "cannot verify signature") || f.hasUnknownKey(err)):
		return fmt.Errorf("%w: the CA may be the right one, but its signatures can't be verified here: they need a key for RSA, ECDSA or Ed25519, not one for RSASSA-PSS only, and no SHA-1", err)
	case unknown && f.ca != "":
		return fmt.Errorf("%w: %s is not the CA of this server", err, show.Printable(f.ca))
	case unknown:
		return fmt.Errorf("%w: give the server's ca.pem with --ca", err)
	case otherName:
		return fmt.Errorf("%w: on the server: sallyport cert new --host NAME, then SIGHUP", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: is a server running there?", err)
	}
	return err
}

// hasUnknownKey reports whether a certificate of the server, or of --ca, has a key that crypto/x509 does not
// support. crypto/x509 ignores such a certificate, and then reports an unknown authority.
func (f *dialFlags) hasUnknownKey(err error) bool {
	var all []*x509.Certificate
	if verification, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		all = verification.UnverifiedCertificates
	}
	data, _ := os.ReadFile(f.ca)
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, c)
		}
	}
	return slices.ContainsFunc(all, func(c *x509.Certificate) bool { return c.PublicKey == nil })
}

// inWords replaces the text of an error that does not say what happened.
func (f *dialFlags) inWords(err error) error {
	_, connecting := errors.AsType[*client.ConnectError](err)
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	op, ofNetwork := errors.AsType[*net.OpError](err)
	reason := ""
	switch {
	case connecting && ofNetwork && op.Op == "dial": // the address once
		reason = networkReason(op)
	case connecting && noTLS:
		reason = "what answers there does not speak TLS"
	case connecting && errors.Is(err, context.DeadlineExceeded):
		reason = "it sent no TLS handshake in time: is it a TLS port?"
	case connecting && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		reason = "it closed the connection during the handshake: it has too many connections, or too many from your address " +
			"(its log says so), or it is no TLS port"
	case !connecting && errors.Is(err, context.DeadlineExceeded):
		return worded{err, "the server did not complete the login in time"}
	default:
		return err
	}
	return worded{err, fmt.Sprintf("no connection to %s: %s", withPort(f.addr), reason)}
}

// networkReason returns why an operation of the network failed, without what it was and on which address.
func networkReason(op *net.OpError) string {
	if system, ok := errors.AsType[*os.SyscallError](op.Err); ok {
		return system.Err.Error()
	}
	if name, ok := errors.AsType[*net.DNSError](op.Err); ok {
		return name.Err
	}
	return op.Err.Error()
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

// operatorSays prints a message of the operator.
func operatorSays(out io.Writer, n client.Notice) {
	if _, isBacklog := stream.Backlog(n); n.Code == protocol.CodeMessage && !isBacklog {
		fmt.Fprintln(out, "operator:", show.Printable(n.Text))
	}
}

// tlsConfig returns a configuration that trusts the CA of --ca. Without --ca it
// trusts those of the system and the private CA of a server on this machine.
func (f *dialFlags) tlsConfig() (config *tls.Config, err error) {
	config = &tls.Config{ServerName: f.serverName}
	if config.MinVersion, err = tlsVersion(f.tlsMin); err != nil {
		return nil, err
	}
	if f.ca != "" {
		config.RootCAs, err = certs.Pool(fileName(f.ca))
		return config, err
	}
	dir, err := stateDir(f.state)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(state.Paths{Dir: dir}.CA())
	switch {
	case err == nil:
		if config.RootCAs, err = x509.SystemCertPool(); err != nil {
			config.RootCAs = x509.NewCertPool()
		}
		config.RootCAs.AppendCertsFromPEM(pem)
	case f.state != "" || !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no CA in the state directory: %w", err)
	}
	return config, nil
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
	switch {
	case f.passwordStdin && f.passwordFile != "":
		return who, usagef("--password-file and --password-stdin exclude each other")
	case f.passwordStdin:
		who.Password, err = readPassword(os.Stdin)
	case f.passwordFile != "":
		file, e := os.Open(f.passwordFile)
		if e != nil {
			return who, e
		}
		defer file.Close()
		warnReadable(file)
		who.Password, err = readPassword(file)
	default:
		who.Password, err = askPassword(fmt.Sprintf("Password of %s: ", show.Printable(who.Username)))
	}
	return who, err
}

// tlsVersion reads --tls-min.
func tlsVersion(s string) (uint16, error) {
	switch s {
	case "1.3":
		return tls.VersionTLS13, nil
	case "1.2":
		return tls.VersionTLS12, nil
	}
	return 0, usagef("--tls-min is 1.2 or 1.3, not %q", s)
}
