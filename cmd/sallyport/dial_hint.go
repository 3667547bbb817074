package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/pin"
	"github.com/sallyport/sallyport/server/certs"
)

// hint adds to an error of a connection what the user can do about it.
func (f *dialFlags) hint(err error) error {
	verification, ofServer := errors.AsType[*tls.CertificateVerificationError](err)
	alert, fromServer := alertOf(err)
	switch err = f.inWords(err); {
	case ofServer:
		return f.verificationHint(err, verification)
	case fromServer:
		return f.alertHint(err, alert)
	case f.byDirectory && (errors.Is(err, pin.ErrForm) || errors.Is(err, pin.ErrNotFound) || errors.Is(err, pin.ErrNotCA)):
		return fmt.Errorf("%w: %s", err, wrongPin)
	case errors.Is(err, pin.ErrNotFound):
		return fmt.Errorf("%w: get the pin from the server with: sallyport cert show; if it runs with --cert, its own file may lack the CA: give that CA with --ca", err)
	case errors.Is(err, pin.ErrNotCA):
		return fmt.Errorf("%w: give the pin of the CA that signed the server's certificate; sallyport cert show prints it on the server", err)
	case errors.Is(err, pin.ErrTwoNames):
		return fmt.Errorf("%w, so it is open which of them has signed: get the CA from the operator and give it with --ca", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: is a server running there?", err)
	}
	return err
}

// wrongPin is what to do about a pin in the directory that is not the server's.
const wrongPin = "the directory has this pin (sallyport rigs --json shows it), and sallyport cert show on the server the right one: " +
	"restart that server, or give --addr and --pin in place of --rig or --any"

// verificationHint says what to do about a certificate of the server that was refused.
func (f *dialFlags) verificationHint(err error, v *tls.CertificateVerificationError) error {
	leaf := &x509.Certificate{}
	if len(v.UnverifiedCertificates) > 0 {
		leaf = v.UnverifiedCertificates[0]
	}
	authority, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	otherName, isName := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case unknown && (strings.Contains(authority.Error(), "cannot verify signature") || f.hasUnknownKey(v)):
		return fmt.Errorf("%w: the CA may be the right one, but its signatures can't be verified here: they need a key for RSA, ECDSA or Ed25519, not one for RSASSA-PSS only, and no SHA-1", err)
	case unknown:
		return f.authorityHint(err, leaf)
	case isName && ownIssuer(leaf):
		return fmt.Errorf("%w: on the server: sallyport cert new --host %s, then SIGHUP", err, quoteArg(otherName.Host))
	case isName && f.byDirectory:
		return fmt.Errorf("%w: give --advertise of that server a name of its certificate, or get it a certificate for %s", err, otherName.Host)
	case isName:
		return fmt.Errorf("%w: use a name of the certificate with --addr or --server-name, or get the server a certificate for %s", err, otherName.Host)
	case isInvalid && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return dateHint(err, invalid.Cert, time.Now())
	}
	return err
}

// authorityHint says which CA to trust for a certificate of the server.
func (f *dialFlags) authorityHint(err error, leaf *x509.Certificate) error {
	what := "give the server's ca.pem with --ca, or its pin with --pin; sallyport cert show prints both on the server"
	if !ownIssuer(leaf) {
		what = fmt.Sprintf("the server runs with --cert, and its certificate is from %s: give that CA with --ca", nameOf(leaf))
	}
	used := "the certificate is not from a CA of this system"
	switch {
	case f.byDirectory && f.pin != "":
		used, what = "the server's certificate is not from the CA that the directory names", wrongPin
	case f.byDirectory:
		what = "the directory names no CA for this server: give --addr and --ca in place of --rig or --any, or ask its operator"
	case f.pin != "":
		used = "the server's certificate is not from the CA of --pin"
	case f.ca != "":
		used = f.ca + " is not the CA of this server"
	case f.localCA != "":
		used = fmt.Sprintf("the certificate is from neither %s nor a CA of this system", f.localCA)
	}
	return fmt.Errorf("%w: %s; or another server answers there: %s", worded{err, guess.ReplaceAllString(err.Error(), "")}, used, what)
}

// guess matches what crypto/x509 adds about a CA of the right name and another key.
var guess = regexp.MustCompile(` \(possibly because of .*\)`)

// dateHint says which clock or certificate may be wrong when a certificate is not valid now. Both times are UTC: the text of
// crypto/x509 has each in another zone.
func dateHint(err error, c *x509.Certificate, now time.Time) error {
	clock := now.UTC().Format(time.RFC3339)
	switch {
	case now.Before(c.NotBefore):
		return fmt.Errorf("%w: it begins at %s, and the clock of this machine says %s: is it right?", err, c.NotBefore.UTC().Format(time.RFC3339), clock)
	case ownIssuer(c):
		return fmt.Errorf("%w: it ended at %s, and the clock of this machine says %s: if that is right, start the server again, and it makes a new one", err, c.NotAfter.UTC().Format(time.RFC3339), clock)
	}
	return fmt.Errorf("%w: it ended at %s, and the clock of this machine says %s: if that is right, the operator must renew it", err, c.NotAfter.UTC().Format(time.RFC3339), clock)
}

// ownIssuer reports whether a certificate looks like one of a server's private CA.
func ownIssuer(c *x509.Certificate) bool { return c.Issuer.CommonName == certs.CAName }

// nameOf returns the name of the CA that has signed a certificate.
func nameOf(c *x509.Certificate) string {
	if string(c.RawIssuer) == string(c.RawSubject) {
		return "itself"
	}
	return fmt.Sprintf("%q", c.Issuer.String())
}

// hasUnknownKey reports whether a certificate of the server, or of --ca, has a key that crypto/x509 does not
// support. crypto/x509 ignores such a certificate, and then reports an unknown authority.
func (f *dialFlags) hasUnknownKey(v *tls.CertificateVerificationError) bool {
	all := slices.Clone(v.UnverifiedCertificates)
	data, _ := os.ReadFile(f.ca)
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, c)
		}
	}
	return slices.ContainsFunc(all, func(c *x509.Certificate) bool { return c.PublicKey == nil })
}

// Alerts about a client's certificate (RFC 8446 §6.2).
const (
	alertBadCertificate      tls.AlertError = 42
	alertCertificateExpired  tls.AlertError = 45
	alertUnknownCA           tls.AlertError = 48
	alertCertificateRequired tls.AlertError = 116
)

// alertOf returns the TLS alert that the server has sent, if that is the reason of err.
func alertOf(err error) (tls.AlertError, bool) {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return 0, false
	}
	for alert := range tls.AlertError(255) { // crypto/tls does not export the type of op.Err
		if alert.Error() == op.Err.Error() {
			return alert, true
		}
	}
	return 0, true
}

// refusedLate makes an alert that came after the handshake an error of the connection. In TLS 1.3 the client has
// done its part of the handshake before the server has seen its certificate (RFC 8446 §4.4.2.4).
func refusedLate(err error, addr string) error {
	_, connecting := errors.AsType[*client.ConnectError](err)
	if _, isAlert := alertOf(err); !isAlert || connecting {
		return err
	}
	return &client.ConnectError{Addr: addr, Err: err}
}

// alertHint says what to do about an alert of the server.
func (f *dialFlags) alertHint(err error, alert tls.AlertError) error {
	ask := "ask the operator for another one, who makes it with: sallyport cert new --client NAME"
	reason := ""
	switch {
	case alert == alertCertificateRequired, alert == alertBadCertificate && f.cert == "":
		return worded{err, fmt.Sprintf("no connection to %s: the server demands a client certificate: give yours with --cert and --key, or %s",
			withPort(f.addr), strings.Replace(ask, "another one", "one", 1))}
	case f.cert == "":
		return err
	case alert == alertCertificateExpired:
		reason = "by the server's clock it has expired, or is not valid yet"
	case alert == alertUnknownCA:
		reason = "it is from a CA that the server does not know"
	default:
		reason = alert.Error()
	}
	return worded{err, fmt.Sprintf("no connection to %s: the server refused the client certificate %s: %s: %s", withPort(f.addr), f.cert, reason, ask)}
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
