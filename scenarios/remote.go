package scenarios

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

// Remote is a server that runs already.
type Remote struct {
	// Addr is its host:port.
	Addr string
	// Roots are the authorities of its certificate. Nil means those of the system.
	Roots *x509.CertPool
	// Passwords are those of the members of the cast.
	Passwords map[string]string
	// Users are the users as which members log in, where that is not their own name.
	Users map[string]string
}

// Reach makes a TLS connection and closes it. Its error is a [client.ConnectError].
func (r *Remote) Reach(ctx context.Context) error {
	dialer := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: r.Roots, NextProtos: []string{protocol.ALPN},
	}}
	conn, err := dialer.DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return &client.ConnectError{Addr: r.Addr, Err: err}
	}
	_ = conn.Close()
	return nil
}

// maxUsers bounds a users file, in bytes.
const maxUsers = 64 << 10

// ReadUsers reads the users of the cast on a server: a line MEMBER:PASSWORD each, or MEMBER=USER:PASSWORD
// where the member logs in as another user. Empty lines and comments (#) don't count. No error shows a
// line, because it may be a password.
func (r *Remote) ReadUsers(in io.Reader) error {
	r.Passwords, r.Users = map[string]string{}, map[string]string{}
	lines := bufio.NewScanner(io.LimitReader(in, maxUsers))
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
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
		}
		r.Passwords[member] = password
		if other {
			r.Users[member] = user
		}
	}
	return lines.Err()
}

// redact replaces the passwords of a server that runs elsewhere in a result.
func (t *Target) redact(r *Result) {
	if t.Remote == nil {
		return
	}
	hide := t.Remote.redactor().Replace
	for i := range r.Steps {
		r.Steps[i].Text, r.Steps[i].Err = hide(r.Steps[i].Text), hide(r.Steps[i].Err)
	}
	for i := range r.Exchanges {
		r.Exchanges[i].Text = hide(r.Exchanges[i].Text)
	}
	r.Transcript, r.Reason = hide(r.Transcript), hide(r.Reason)
	if r.Err != nil {
		r.Err = redactedError{hide(r.Err.Error()), r.Err}
	}
}

// redactor replaces each password, in each form in which a message may show it, by its variable.
func (r *Remote) redactor() *strings.Replacer {
	type pair struct{ secret, name string }
	var all []pair
	for member, secret := range r.Passwords {
		for _, form := range []string{secret, regexp.QuoteMeta(secret)} {
			for _, form := range []string{form, strings.ReplaceAll(form, "'", "''")} {
				all = append(all, pair{form, "$" + member + "_password"}, pair{quotedInside(form), "$" + member + "_password"})
			}
		}
	}
	slices.SortFunc(all, func(a, b pair) int { return cmp.Compare(len(b.secret), len(a.secret)) })
	var words []string
	for _, p := range all {
		words = append(words, p.secret, p.name)
	}
	return strings.NewReplacer(words...)
}

// quotedInside returns a text as %q shows it, without the quotes.
func quotedInside(text string) string {
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

// redactedError is an error whose text had a secret.
type redactedError struct {
	text  string
	cause error
}

func (e redactedError) Error() string { return e.text }
func (e redactedError) Unwrap() error { return e.cause }
