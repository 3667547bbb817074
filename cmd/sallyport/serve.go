package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/cmd/sallyport/spool"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/state"
)

// serveFlags are the flags of serve that do not set a field of the server.
type serveFlags struct {
	listen, state, admission    string
	tlsMin, cert, key, clientCA string
	backend                     backendFlags
	keep                        consoleFlags
	depth, perUser              int
	wait, grace                 time.Duration
	usersFrom                   string // --users
	fleet                       fleetPart
	waitGiven, listenGiven      bool             // --queue-wait and --listen were given
	inherited                   *net.TCPListener // the socket that systemd passes, or nil
	onlyCheck                   bool
	maxBody                     sizeFlag
	sync                        audit.Sync
	chat                        bool
	console                     *chat // nil without --chat
	stderr                      *spool.Writer
	parts                       []part
}

func serveCommand() *cobra.Command {
	f := &serveFlags{maxBody: 1 << 20}
	f.parts = serveParts(f)
	s := &server.Server{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server until SIGTERM or SIGINT. The running request may end; a second
signal ends it at once. SIGHUP reloads certificate, users and log file. With
--chat on a terminal Ctrl-D only closes the chat, and Ctrl-C stops the server.

serve makes what it needs in the state directory: a private CA, a certificate
for this host, a file of users and the interaction log. It renews that
certificate 30 days before its end. For another certificate, or without the CA's key,
it warns each day instead.

As a service of systemd it takes the socket of its socket unit (--listen absent,
or systemd), keeps state and logs in $STATE_DIRECTORY and $LOGS_DIRECTORY, and
uses the credentials cert.pem and key.pem, if there are both.

` + backendHelp + "\n\n" + keptHelp,
		Example: `  sallyport serve
  sallyport serve --listen :7443 --backend tcp:127.0.0.1:5025
  sallyport serve --backend serial:/dev/ttyUSB0,115200,8N1
  sallyport serve --backend serial:/dev/ttyUSB0,115200,8N1 --console
  sallyport serve --admission takeover --session-limit 1h --log-sync record
  sallyport serve --admission takeover --check`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, s) },
	}
	f.fleet.limits = &s.Limits
	f.define(cmd, s)
	return cmd
}

// run prepares the state directory, and serves on it.
func (f *serveFlags) run(cmd *cobra.Command, s *server.Server) error {
	surviveBrokenPipes()
	f.stderr = spool.New(os.Stderr)
	defer f.stderr.Close(time.Second)
	s.ErrorLog = slog.New(slog.NewTextHandler(f.stderr, nil))
	s.Limits.Body = int64(f.maxBody)
	f.waitGiven, f.listenGiven = cmd.Flags().Changed("queue-wait"), cmd.Flags().Changed("listen")
	if err := f.useCredentials(); err != nil {
		return err
	}
	if err := f.setPolicy(s); err != nil {
		return err
	}
	if err := f.keep.check(cmd, f.backend.backend); err != nil {
		return err
	}
	if err := cmp.Or(f.checkUsers(), f.checkParts()); err != nil {
		return err
	}
	paths, err := statePaths(f.state)
	if err != nil {
		return err
	}
	if f.onlyCheck {
		return f.printCheck(cmd.Flags(), paths)
	}
	home, err := paths.Prepare(nil, time.Now())
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
	if f.clientCA != "" {
		s.Approve = checkClient
	}
	f.fleet.log.Store(s.ErrorLog)
	store, closeUsers, err := f.openUsers(home, s.ErrorLog)
	if err != nil {
		return err
	}
	defer closeUsers()
	s.Users, s.NameKey = store, home.MockSecret
	if s.Audit, err = f.openLog(home.Audit(), s.ErrorLog); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Audit.Close()) }()
	if err := f.backend.check(s.ErrorLog, f.keep.on); err != nil {
		return err
	}
	listener, err := f.open()
	if err != nil {
		return err
	}
	before := s.Audit.Head()
	defer func() {
		if head := s.Audit.Head(); err == nil || head != before {
			fmt.Fprintln(f.stderr, "log head", head)
		}
	}()
	if err := os.WriteFile(addrFile(home.Paths), []byte(reachable(listener.Addr())), 0o600); err != nil {
		return errors.Join(err, listener.Close())
	}
	caught := catchSignals()
	defer caught.release()
	stderr := io.Writer(f.stderr)
	if f.chat {
		f.stderr.Flush(time.Second) // before the terminal is raw
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
	f.backend.set(s, f.keep.keeper, f.keep.watchers)
	keeper, release := f.keepCertificate(s, home.Paths)
	defer release()
	r := &running{
		turn:  make(chan struct{}, 1),
		flags: f, server: s, users: store, paths: home.Paths, listener: listener, certs: keeper,
		log: s.ErrorLog, stderr: stderr, caught: caught,
	}
	return r.untilSignal()
}

// openLog opens the interaction log, whose records the parts observe.
func (f *serveFlags) openLog(path string, log *slog.Logger) (*audit.Log, error) {
	return audit.Open(path, audit.Options{
		Sync: f.sync, Observe: f.observe, Ended: f.fleet.sessionEnded,
		Low: func(free int64) {
			log.Warn("the disk of the interaction log is nearly full", "log", path, "free bytes", free)
		},
	})
}
