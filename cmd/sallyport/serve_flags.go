package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
)

func (f *serveFlags) define(cmd *cobra.Command, s *server.Server) {
	flags, l := cmd.Flags(), &s.Limits
	flags.StringVar(&f.admission, "admission", "queue", "what happens to a second client: queue, reject or takeover")
	f.defineUsers(flags)
	flags.IntVar(&f.depth, "queue-depth", 16, "how many clients may wait")
	flags.IntVar(&f.perUser, "queue-per-user", 2, "how many of them may be one user's")
	flags.DurationVar(&f.wait, "queue-wait", 17*time.Minute, "how long a client may wait; 0: for ever; not given: 2m longer than --idle-timeout")
	flags.StringVar(&f.clientCA, "client-ca", "", "`file` with the CAs of client certificates: each client needs one, with its user's name (TLS 1.3 only)")
	flags.BoolVar(&s.RequireBinding, "require-binding", false, "refuse logins without channel binding")
	flags.IntVar(&l.Lobby, "max-lobby", 256, "how many connections may be in the lobby, before their login")
	flags.IntVar(&l.LobbyPerSource, "max-lobby-per-source", 16, "how many of them may come from one address (IPv6: one /56)")
	flags.IntVar(&l.FailedLogins, "max-failed-logins", 600, "how many wrong passwords one address may try at once before it is kept out for a while; each second allows one more")
	flags.Var(trustFlag{&s.Trust}, "trust", "addresses (192.0.2.7 or 192.0.2.0/24) that are never kept out, as for a test; repeatable")
	under(headingEnter, flags)
	flags.DurationVar(&l.Login, "login-timeout", 10*time.Second, "how long connect, handshake and login may take")
	flags.DurationVar(&l.Idle, "idle-timeout", 15*time.Minute, "how long the seated client may be idle (NOOP does not end idleness); 0: for ever")
	flags.DurationVar(&l.Session, "session-limit", 0, "how long a client may have the seat; 0: for ever")
	flags.DurationVar(&l.Request, "request-timeout", 5*time.Minute, "how long a request may run; 0: for ever")
	flags.DurationVar(&l.Write, "write-timeout", 10*time.Second, "how long a client may take to read a reply")
	flags.DurationVar(&l.Vanish, "vanish-timeout", 30*time.Second, "how long a client may acknowledge no packet before it is taken for dead")
	flags.Var(&f.maxBody, "max-body", "largest body that a request may have")
	under(headingLimits, flags)
	flags.Var(syncFlag{&f.sync}, "log-sync", "when the log is forced to the disk")
	flags.BoolVar(&s.LogPayload, "log-payload", false, "log arguments, bodies and streams too")
	flags.BoolVar(&s.LogNames, "log-names", false, "log the names of unknown users as typed, not as a hash")
	flags.BoolVar(&s.ServeUnlogged, "serve-unlogged", false, "go on serving, with a warning, when the log can't be written")
	under(headingLog, flags)
	flags.StringVar(&f.cert, "cert", "", "certificate `file` instead of the one in the state directory")
	flags.StringVar(&f.key, "key", "", "key `file` of --cert")
	flags.StringVar(&f.tlsMin, "tls-min", "1.3", "lowest TLS version, 1.2 or 1.3")
	under(headingTLS, flags)
	f.backend.define(cmd)
	f.keep.define(cmd)
	under(headingBackend, flags)
	flags.StringVar(&f.listen, "listen", defaultAddr, "`address` to listen on: HOST:PORT, :PORT (on all addresses) or PORT (on 127.0.0.1); systemd: the socket that systemd passes")
	flags.BoolVar(&f.onlyCheck, "check", false, "check the configuration, print what would be used, and end: 0 it can be used, 1 it can't, 2 wrong usage")
	addStateFlag(cmd, &f.state)
	flags.DurationVar(&f.grace, "shutdown-grace", 10*time.Second, "how long the running request may go on after SIGTERM")
	flags.BoolVar(&f.chat, "chat", false, "talk with the seated client on this terminal")
	under(headingService, flags)
	for _, p := range f.parts {
		p.define(flags)
	}
}

// syncFlag is the value of --log-sync.
type syncFlag struct{ *audit.Sync }

func (syncFlag) Type() string { return "none|session|record" }

// setPolicy sets the policy of the server, and returns errors of usage.
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
	if err := f.checkTLS(); err != nil {
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

// noLimit is 0 of a flag as server.Limits has it, where 0 means the default.
const noLimit time.Duration = -1

// checkLimits turns 0 into "no limit" for the flags whose help says so, and refuses it for the others.
func (f *serveFlags) checkLimits(l *server.Limits) error {
	if min(l.Idle, l.Session, l.Request, f.grace, f.wait) < 0 {
		return usagef("--idle-timeout, --session-limit, --request-timeout, --queue-wait and --shutdown-grace are not negative")
	}
	for _, d := range []*time.Duration{&l.Idle, &l.Session, &l.Request} {
		if *d == 0 {
			*d = noLimit
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
