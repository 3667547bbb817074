package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/cmd/sallyport/spool"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/state"
	"github.com/sallyport/sallyport/server/users"
)

// serveFlags are the flags of serve that do not set a field of the server.
type serveFlags struct {
	listen, state, admission, tlsMin, cert, key string
	backend                                     backendFlags
	keep                                        consoleFlags
	depth, perUser                              int
	wait, grace                                 time.Duration
	waitGiven                                   bool // --queue-wait was given
	maxBody                                     sizeFlag
	sync                                        audit.Sync
	chat                                        bool
	console                                     *chat // nil without --chat
	stderr                                      *spool.Writer
}

func serveCommand() *cobra.Command {
	f := &serveFlags{maxBody: 1 << 20}
	s := &server.Server{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server until SIGTERM or SIGINT. The running request may end; a second
signal ends it at once. SIGHUP reloads certificate, users and log file. With
--chat on a terminal Ctrl-D only closes the chat, and Ctrl-C stops the server.

serve makes what it needs in the state directory: a private CA, a certificate
for this host, a file of users and the interaction log. It renews that
certificate 30 days before its end, and warns each day of any other that ends.

` + backendHelp + "\n\n" + keptHelp,
		Example: `  sallyport serve
  sallyport serve --listen :7443 --backend tcp:127.0.0.1:5025
  sallyport serve --backend serial:/dev/ttyUSB0,115200,8N1
  sallyport serve --backend serial:/dev/ttyUSB0,115200,8N1 --console
  sallyport serve --admission takeover --session-limit 1h --log-sync record`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, s) },
	}
	f.define(cmd, s)
	return cmd
}

func (f *serveFlags) define(cmd *cobra.Command, s *server.Server) {
	flags, l := cmd.Flags(), &s.Limits
	flags.StringVar(&f.listen, "listen", defaultAddr, "`address` to listen on")
	addStateFlag(cmd, &f.state)
	flags.StringVar(&f.admission, "admission", "queue", "what happens to a second client: queue, reject or takeover")
	flags.IntVar(&f.depth, "queue-depth", 16, "how many clients may wait")
	flags.IntVar(&f.perUser, "queue-per-user", 2, "how many of them may be one user's")
	flags.DurationVar(&f.wait, "queue-wait", 17*time.Minute, "how long a client may wait; 0: for ever; not given: 2m longer than --idle-timeout")
	flags.DurationVar(&l.Login, "login-timeout", 10*time.Second, "how long connect, handshake and login may take")
	flags.DurationVar(&l.Idle, "idle-timeout", 15*time.Minute, "how long the seated client may be idle (NOOP does not end idleness); 0: for ever")
	flags.DurationVar(&l.Session, "session-limit", 0, "how long a client may have the seat; 0: for ever")
	flags.DurationVar(&l.Request, "request-timeout", 5*time.Minute, "how long a request may run; 0: for ever")
	flags.DurationVar(&l.Write, "write-timeout", 10*time.Second, "how long a client may take to read a reply")
	flags.DurationVar(&l.Vanish, "vanish-timeout", 30*time.Second, "how long a client may acknowledge no packet before it is taken for dead")
	flags.DurationVar(&f.grace, "shutdown-grace", 10*time.Second, "how long the running request may go on after SIGTERM")
	flags.Var(&f.maxBody, "max-body", "largest body that a request may have")
	flags.IntVar(&l.Lobby, "max-lobby", 256, "how many connections may be there before their login")
	flags.IntVar(&l.LobbyPerSource, "max-lobby-per-source", 16, "how many of them may come from one address (IPv6: one /56)")
	flags.IntVar(&l.FailedLogins, "max-failed-logins", 600, "how many wrong passwords one address may try at once before it is kept out for a while; each second allows one more")
	flags.Var(trustFlag{&s.Trust}, "trust", "addresses (192.0.2.7 or 192.0.2.0/24) that are never kept out, as for a test; repeatable")
	flags.StringVar(&f.tlsMin, "tls-min", "1.3", "lowest TLS version, 1.2 or 1.3")
	flags.BoolVar(&s.RequireBinding, "require-binding", false, "refuse logins without channel binding")
	flags.StringVar(&f.cert, "cert", "", "certificate `file` instead of the one in the state directory")
	flags.StringVar(&f.key, "key", "", "key `file` of --cert")
	flags.BoolVar(&f.chat, "chat", false, "talk with the seated client on this terminal")
	f.backend.define(cmd)
	f.keep.define(cmd)
	flags.BoolVar(&s.LogPayload, "log-payload", false, "log arguments, bodies and streams too")
	flags.BoolVar(&s.LogNames, "log-names", false, "log the names of unknown users as typed, not as a hash")
	flags.Var(syncFlag{&f.sync}, "log-sync", "when the log is forced to the disk")
	flags.BoolVar(&s.ServeUnlogged, "serve-unlogged", false, "serve on, with a complaint, when the log can't be written")
}

// syncFlag is the value of --log-sync.
type syncFlag struct{ *audit.Sync }

func (syncFlag) Type() string { return "none|session|record" }

// run prepares the state directory, and serves on it.
func (f *serveFlags) run(cmd *cobra.Command, s *server.Server) error {
	surviveBrokenPipes()
	f.stderr = spool.New(os.Stderr)
	defer f.stderr.Close(time.Second)
	s.ErrorLog = slog.New(slog.NewTextHandler(f.stderr, nil))
	s.Limits.Body = int64(f.maxBody)
	f.waitGiven = cmd.Flags().Changed("queue-wait")
	if err := f.setPolicy(s); err != nil {
		return err
	}
	if err := f.keep.check(cmd, f.backend.backend); err != nil {
		return err
	}
	dir, err := stateDir(f.state)
	if err != nil {
		return err
	}
	home, err := state.Prepare(dir, nil, time.Now())
	if err != nil && (f.cert == "" || !errors.Is(err, state.ErrCertificates)) {
		return err
	}
	if home.Warning != nil {
		s.ErrorLog.Warn("state directory", "warning", message(home.Warning))
	}
	release, err := home.Lock()
	if err != nil {
		return err
	}
	defer release()
	return f.serve(cmd, s, home)
}

// serve opens users, log and listener, and runs the server.
func (f *serveFlags) serve(cmd *cobra.Command, s *server.Server, home state.State) (err error) {
	if s.TLSConfig, err = f.loadCertificate(home.Paths); err != nil {
		return err
	}
	store, err := users.Open(home.Users(), home.MockSecret, func(err error) { s.ErrorLog.Error("users", "error", message(err)) })
	if err != nil {
		return err
	}
	s.Users, s.NameKey = store, home.MockSecret
	if s.Audit, err = audit.Open(home.Audit(), audit.Options{Sync: f.sync, Low: func(free int64) {
		s.ErrorLog.Warn("the disk of the interaction log is nearly full", "log", home.Audit(), "free bytes", free)
	}}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Audit.Close()) }()
	if err := f.backend.check(s.ErrorLog); err != nil {
		return err
	}
	listener, err := listen(f.listen)
	if err != nil {
		return err
	}
	defer func() { fmt.Fprintln(f.stderr, "log head", s.Audit.Head()) }()
	if err := os.WriteFile(addrFile(home.Paths), []byte(reachable(listener.Addr())), 0o600); err != nil {
		return errors.Join(err, listener.Close())
	}
	caught := catchSignals()
	defer caught.release()
	fmt.Fprintf(f.stderr, "listening on %s\n%s\nlog %s\n",
		listener.Addr(), nextStep(home.Paths, f.state, reachable(listener.Addr())), home.Audit())
	stderr := io.Writer(f.stderr)
	if f.chat {
		if f.console, err = newChat(s); err != nil {
			return err
		}
		defer f.console.restore()
		stderr = f.console.logWriter(f.stderr)
		s.ErrorLog = slog.New(slog.NewTextHandler(stderr, nil))
	}
	f.backend.logTo(s.ErrorLog, stderr)
	end, err := f.keep.begin(home.Paths, f.backend.backend, s.ErrorLog)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer end()
	f.backend.set(s, f.keep.keeper)
	return f.runUntilSignal(s, store, home.Paths, listener, caught)
}

// signals are those that a server obeys. They are caught before the server prints
// that it listens, so that none ends it without a shutdown.
type signals struct{ stop, hup chan os.Signal }

// surviveBrokenPipes keeps the process alive when the reader of its standard output or error has gone. It
// doesn't ignore SIGPIPE, because its children would inherit that.
func surviveBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

func catchSignals() signals {
	c := signals{make(chan os.Signal, 2), make(chan os.Signal, 1)}
	signal.Notify(c.stop, os.Interrupt, syscall.SIGTERM)
	signal.Notify(c.hup, syscall.SIGHUP)
	return c
}

func (c signals) release() {
	signal.Stop(c.stop)
	signal.Stop(c.hup)
}

// runUntilSignal serves until a signal stops the server.
func (f *serveFlags) runUntilSignal(s *server.Server, store *users.Store, paths state.Paths, l net.Listener, c signals) error {
	keeper, release := f.keepCertificate(s, paths)
	defer release()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	if f.console != nil {
		go f.console.run(s, c.stop)
	}
	for {
		select {
		case err := <-served:
			return errors.Join(err, f.shutdown(s, c.stop))
		case <-c.hup:
			f.reload(s, store, paths, keeper)
		case <-c.stop:
			fmt.Fprintln(f.stderr, "shutting down")
			return f.shutdown(s, c.stop)
		}
	}
}

// shutdown lets the running request end, within --shutdown-grace and until a second signal.
func (f *serveFlags) shutdown(s *server.Server, stop <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), f.grace)
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := s.Shutdown(ctx); err != nil {
		s.ErrorLog.Warn("a request was still running and was cut off")
		return s.Close()
	}
	return nil
}

// reload takes the certificate, the users and the log file anew. What can't be reloaded stays as it was.
func (f *serveFlags) reload(s *server.Server, store *users.Store, paths state.Paths, keeper *certs.Keeper) {
	keeper.Check(time.Now()) // an expired one could not be loaded
	config, err := f.loadCertificate(paths)
	if err == nil {
		err = s.SetTLSConfig(config)
	}
	if err == nil {
		keeper.Serving(config.Certificates[0].Leaf)
		keeper.Check(time.Now())
	}
	err = errors.Join(err, store.Reload(), s.Audit.Reopen(), f.keep.reopen())
	s.Audit.Info("server.reload", "").Bool("ok", err == nil).Send()
	if err = errors.Join(err, s.Audit.Flush()); err != nil {
		s.ErrorLog.Error("reload: what failed stays as it was", "error", message(err)+advice(err))
		return
	}
	s.ErrorLog.Info("reloaded certificate, users and log file")
}

func (f *serveFlags) setPolicy(s *server.Server) error {
	switch f.admission {
	case "queue":
		s.Admission = server.Queue{Depth: f.depth, PerUser: f.perUser, Wait: f.policyWait()}
	case "reject":
		s.Admission = server.Reject{}
	case "takeover":
		s.Admission = server.Takeover{Wait: f.policyWait()}
	default:
		return usagef("--admission is queue, reject or takeover, not %q", f.admission)
	}
	if min(f.depth, f.perUser) < 1 {
		return usagef("--queue-depth and --queue-per-user are at least 1; --admission reject lets nobody wait")
	}
	if (f.cert == "") != (f.key == "") {
		return usagef("--cert and --key go together")
	}
	if err := f.checkAddress(); err != nil {
		return err
	}
	if _, err := tlsVersion(f.tlsMin); err != nil {
		return err
	}
	if err := f.checkLimits(&s.Limits); err != nil {
		return err
	}
	if s.LogPayload && f.maxBody > maxLoggedBody {
		return usagef("--log-payload goes with a --max-body of at most %v: a record has at most 16MiB", &maxLoggedBody)
	}
	return f.backend.parse()
}

// policyWait returns --queue-wait for server.Queue, which has a default of its own: 2 minutes more than --idle-timeout.
func (f *serveFlags) policyWait() time.Duration {
	switch {
	case !f.waitGiven:
		return 0
	case f.wait == 0:
		return -1
	}
	return f.wait
}

// maxLoggedBody fits into a record of the log, where its base64 is longer.
var maxLoggedBody = sizeFlag(8 << 20)

// checkLimits turns 0 into "no limit" for the flags whose help says so, and refuses it for the others.
func (f *serveFlags) checkLimits(l *server.Limits) error {
	if min(l.Idle, l.Session, l.Request, f.grace, f.wait) < 0 {
		return usagef("--idle-timeout, --session-limit, --request-timeout, --queue-wait and --shutdown-grace are not negative")
	}
	for _, d := range []*time.Duration{&l.Idle, &l.Session, &l.Request} {
		if *d == 0 {
			*d = -1
		}
	}
	if min(l.Login, l.Write, l.Vanish) <= 0 {
		return usagef("--login-timeout, --write-timeout and --vanish-timeout are longer than 0")
	}
	if min(l.Lobby, l.LobbyPerSource, l.FailedLogins) < 1 {
		return usagef("--max-lobby, --max-lobby-per-source and --max-failed-logins are at least 1")
	}
	return nil
}
