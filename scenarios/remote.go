package scenarios

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

// Remote is a server that runs already.
type Remote struct {
	// Addr is its host:port.
	Addr string
	// Roots are the certificate authorities to trust. Nil means the roots of the system.
	Roots *x509.CertPool
	// Passwords has the passwords, by the members of the cast.
	Passwords map[string]string
	// Users has the user names, by the members of the cast whose user has another name.
	Users map[string]string
}

// host returns the name that the certificate must have. The zone of an address is no part of it (RFC 4007 §11.2).
func (r *Remote) host() string {
	host, _, _ := net.SplitHostPort(r.Addr)
	host, _, _ = strings.Cut(host, "%")
	return host
}

// Reach makes a TLS connection to a Sallyport server, and closes it. Its error is a [client.ConnectError].
func (r *Remote) Reach(ctx context.Context) error {
	dialer := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: r.Roots, ServerName: r.host(), NextProtos: []string{protocol.ALPN},
	}}
	conn, err := dialer.DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return &client.ConnectError{Addr: r.Addr, Err: err}
	}
	defer conn.Close()
	if conn.(*tls.Conn).ConnectionState().NegotiatedProtocol != protocol.ALPN {
		return &client.ConnectError{Addr: r.Addr, Err: errors.New("it is no Sallyport server (it does not speak " + protocol.ALPN + ")")}
	}
	return nil
}

// LogIn logs in as each member of the cast, one after another, without taking the seat. Its error names the first
// one that the server refuses. A server that is too old for logins without a seat is not asked.
func (r *Remote) LogIn(ctx context.Context) error {
	dialer := client.Dialer{TLSConfig: &tls.Config{RootCAs: r.Roots}}
	for _, member := range slices.Sorted(maps.Keys(r.Passwords)) {
		user := cmp.Or(r.Users[member], member)
		_, err := dialer.Stat(ctx, r.Addr, client.Credentials{Username: user, Password: r.Passwords[member]})
		switch {
		case errors.Is(err, client.ErrNoStat):
			return nil
		case err != nil:
			return &CastError{member, user, err}
		}
	}
	return nil
}

// CastError means that a member of the cast can't log in.
type CastError struct {
	Member, User string
	Err          error
}

func (e *CastError) Error() string {
	return fmt.Sprintf("%s can't log in as %q: %v", e.Member, e.User, e.Err)
}

func (e *CastError) Unwrap() error { return e.Err }

// MinPassword is the least number of characters of a password that reports and recordings hide. A shorter one may
// be part of other words, which then tell what it is.
const MinPassword = 8

// KeepsOut reports whether the server has a penalty for the address of this client. Scenarios leave without a
// login and guess passwords, as strangers do. With a penalty, the result of a run says nothing about the
// server.
func (r *Remote) KeepsOut(ctx context.Context, run *Result) bool {
	const throttled = "421 throttled"
	for _, e := range run.Exchanges {
		if strings.HasPrefix(e.Text, throttled) {
			return true
		}
	}
	if run.Err == nil {
		return false
	}
	return strings.Contains(run.Err.Error(), throttled) || turnedAway(r.Reach(ctx))
}

// maxUsers bounds a users file, in bytes.
const maxUsers = 64 << 10

// ReadUsers reads the users of the cast on a server: a line MEMBER:PASSWORD each, or MEMBER=USER:PASSWORD if
// the user has another name. A password has at least [MinPassword] characters. ReadUsers ignores empty lines
// and comments (#). No error contains a line, because a line may be a password.
func (r *Remote) ReadUsers(in io.Reader) error {
	r.Passwords, r.Users = map[string]string{}, map[string]string{}
	lines := bufio.NewScanner(io.LimitReader(in, maxUsers))
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		if number == 1 {
			line = strings.TrimPrefix(line, "\ufeff") // Notepad's byte order mark
		}
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		who, password, _ := strings.Cut(strings.TrimSuffix(line, "\r"), ":")
		member, user, other := strings.Cut(who, "=")
		_, twice := r.Passwords[member]
		switch {
		case !slices.Contains(clientNames(), member), password == "", other && user == "":
			return fmt.Errorf("%d: the line is not MEMBER:PASSWORD or MEMBER=USER:PASSWORD; the members are %s",
				number, strings.Join(clientNames(), " "))
		case twice:
			return fmt.Errorf("%d: %s is there twice", number, member)
		case utf8.RuneCountInString(password) < MinPassword:
			return fmt.Errorf("%d: the password of %s has fewer than %d characters, which a report can't hide", number, member, MinPassword)
		}
		r.Passwords[member] = password
		if other {
			r.Users[member] = user
		}
	}
	if lines.Err() != nil {
		return fmt.Errorf(" %w", lines.Err())
	}
	return nil
}
