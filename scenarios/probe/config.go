package probe

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/fixtures"
)

// Role is the side of the peer under test.
type Role string

// The roles.
const (
	ServerRole Role = "server"
	ClientRole Role = "client"
)

// An Account is a user of the peer.
type Account struct{ Name, Password string }

// Config names a peer and the cases to play. Target and Role are required. A server under test on a network also needs
// Account.
type Config struct {
	Role   Role
	Target Target
	// Command starts the peer. A client under test and a server with the dialect stdio need it.
	Command []string
	// Account is a user of the server under test. It is not used for a client.
	Account Account
	// Others are further accounts of a server, for the cases that need special names. Nil means none: these cases are
	// skipped.
	Others []Account
	// Roots verify the certificate of a server. Nil means the roots of the system.
	Roots *x509.CertPool
	// Mechanism is a SCRAM mechanism without -PLUS. Empty means SCRAM-SHA-256, or another one that the server offers.
	Mechanism string
	// Level is must, should (with the grammar) or all. Empty means should.
	Level string
	// Only plays the cases whose name matches. Nil means all.
	Only *regexp.Regexp
	// Accepted are the known deviations. Nil means none.
	Accepted *Accepted
	// Timeout bounds each wait for the peer. Zero means 10 s.
	Timeout time.Duration
	// MayTest is the host of a server under test, named again. Without it only loopback addresses are tested.
	MayTest string
	// Stderr gets the standard error of a command under test. Nil discards it.
	Stderr io.Writer
}

// Errors of a run as a whole.
var (
	// ErrUsage means that a [Config] makes no sense.
	ErrUsage = errors.New("")
	// ErrNotReached means that the peer can't be reached, or does not speak the protocol.
	ErrNotReached = errors.New("not reached")
	// ErrControl means that a login without a fault fails, so that nothing can be judged.
	ErrControl = errors.New("the login without a fault fails")
)

// Hashes are the mechanisms that can be probed, the preferred ones first.
var Hashes = []string{"SCRAM-SHA-256", "SCRAM-SHA-512", "SCRAM-SHA-1"}

func (c *Config) check() error {
	d := dialects[c.Target.Dialect]
	stdio := c.Target.Dialect == "stdio"
	fault := func(format string, args ...any) error {
		return fmt.Errorf("%w"+format, append([]any{ErrUsage}, args...)...)
	}
	switch {
	case c.Role == ClientRole && d.host == nil:
		return fault("clients that speak %s can't be probed, only servers", c.Target.Dialect)
	case (c.Role == ClientRole || stdio) && (len(c.Command) == 0 || c.Command[0] == ""):
		return fault("give the command to test behind --")
	case c.Role == ServerRole && !stdio && len(c.Command) > 0:
		return fault("a command is only for stdio: and for clients")
	case !slices.Contains([]string{"", "must", "should", "all"}, c.Level):
		return fault("--level is must, should or all")
	case c.Mechanism != "" && !slices.Contains(Hashes, c.Mechanism):
		return fault("--mechanism is one of %q", Hashes)
	case c.Role == ServerRole && !stdio && (c.Account.Name == "" || c.Account.Password == ""):
		return fault("--user and its password are needed: a throw-away account of the server")
	case c.Role == ClientRole && !stdio:
		if err := c.checkLoopback(); err != nil {
			return err
		}
	}
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	return c.checkPlaceholders()
}

// checkLoopback refuses to serve anywhere but on the loopback.
func (c *Config) checkLoopback() error {
	addrs, err := net.LookupHost(c.Target.Host)
	if err != nil {
		return fmt.Errorf("%w%w", ErrUsage, err)
	}
	for _, addr := range addrs {
		if ip, err := netip.ParseAddr(addr); err != nil || !ip.IsLoopback() {
			return fmt.Errorf("%wclients are tested on the loopback only: %s is not a name or an address of it", ErrUsage, c.Target.Host)
		}
	}
	return nil
}

// errNotAllowed is the error of a connection that would leave this machine.
type errNotAllowed struct{ host, addr string }

func (e errNotAllowed) Error() string {
	name := e.host
	if addr, _, _ := net.SplitHostPort(e.addr); addr != e.host {
		name += " is " + addr + ", which"
	}
	return fmt.Sprintf("%s is not this machine: test only servers that you may test, and say so with --i-may-test %s", name, e.host)
}

// allow refuses an address before anything is sent to it, unless it may be tested.
func (c *Config) allow(_, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err == nil && addr.Addr().Unmap().IsLoopback() || c.MayTest != "" && c.MayTest == c.Target.Host {
		return nil
	}
	return errNotAllowed{c.Target.Host, address}
}

// wanted reports whether a vector is to be played.
func (c *Config) wanted(v *fixtures.Vector) bool {
	switch {
	case !v.Judges(string(c.Role)) || v.Battery == 0:
		return false
	case c.Role == ServerRole && v.Battery == 22: // a server chooses its iterations itself
		return false
	case c.Only != nil && !c.Only.MatchString(v.Name):
		return false
	}
	return c.includes(v.Rule)
}

func (c *Config) includes(rule string) bool {
	switch c.Level {
	case "must":
		return rule == "must"
	case "all":
		return true
	}
	return rule == "must" || rule == "should" || rule == "grammar"
}

// NotAllowed reports whether an error means that the peer is on another machine, and Config.MayTest does not name it.
func NotAllowed(err error) bool {
	_, ok := errors.AsType[errNotAllowed](err)
	return ok
}
