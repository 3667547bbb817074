// Package pin trusts a private CA by the hash of its certificate: a line to paste, in place of a file to fetch.
//
// A user gives a [Pin]. [Pin.Fetch] connects to the server without trusting anything, and takes the CA with this
// hash out of the chain that the server sends. [Cache] keeps the CA. A [client.Dialer] whose only root is this CA
// then makes another connection, with every check of crypto/tls. Nothing is sent on the first connection: its
// handshake always fails.
//
// A pin names a CA, and not the certificate of a server. So it outlives the renewal of that certificate, and the
// name and the dates of the certificate are still checked.
package pin

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/client"
)

// Errors of this package.
var (
	ErrForm     = errors.New("pin: a pin is SHA256: and 43 characters of base64")
	ErrNotFound = errors.New("pin: the server sends no CA with this pin")
	ErrNotCA    = errors.New("pin: the pin names a certificate that is no CA")
	ErrTwoNames = errors.New("pin: the server sends two certificates with the name of the CA")
)

const prefix = "SHA256:"

// Pin is the SHA-256 hash of the DER form of a CA's certificate.
type Pin [sha256.Size]byte

// Of returns the pin of a certificate.
func Of(ca *x509.Certificate) Pin { return sha256.Sum256(ca.Raw) }

// Parse reads the form of [Pin.String]. The error is [ErrForm].
func Parse(text string) (p Pin, err error) {
	encoded, ok := strings.CutPrefix(text, prefix)
	hash, err := base64.RawStdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(hash) != len(p) || strings.ContainsAny(encoded, "\r\n") { // base64 ignores line ends
		return p, fmt.Errorf("%.80q: %w", text, ErrForm)
	}
	return Pin(hash), nil
}

// String returns "SHA256:" and the hash in base64 without padding.
func (p Pin) String() string { return prefix + base64.RawStdEncoding.EncodeToString(p[:]) }

// Fetch returns the CA with this pin from the chain that the server at addr sends. Give it the dialer of the
// connection that follows: Fetch does not use its roots, its client certificate and its session cache. The error is
// a [*client.ConnectError] around one of this package, or an error of [client.Dialer.Dial].
func (p Pin) Fetch(ctx context.Context, d client.Dialer, addr string) (*x509.Certificate, error) {
	config := cmp.Or(d.TLSConfig, &tls.Config{}).Clone()
	config.RootCAs = x509.NewCertPool()
	config.ClientSessionCache = nil // its sessions are for the connection that follows
	config.Certificates, config.GetClientCertificate = nil, nil
	d.TLSConfig = config
	c, err := d.Dial(ctx, addr, client.Credentials{})
	if err == nil { // not with an empty pool
		return nil, errors.Join(errors.New("pin: a server was trusted without a CA"), c.Close())
	}
	untrusted, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok {
		return nil, err
	}
	ca, err := p.find(untrusted.UnverifiedCertificates)
	if err != nil {
		return nil, &client.ConnectError{Addr: addr, Err: err}
	}
	return ca, nil
}

// find returns the CA with this pin in the chain of a server. The server's own certificate is never one. A second
// certificate with the name of the CA is an error, because either could have signed.
func (p Pin) find(chain []*x509.Certificate) (*x509.Certificate, error) {
	at := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return Of(c) == p })
	switch {
	case at < 0:
		return nil, ErrNotFound
	case at == 0 || !IsCA(chain[at]):
		return nil, ErrNotCA
	}
	for i, other := range chain {
		if i != at && bytes.Equal(other.RawSubject, chain[at].RawSubject) {
			return nil, ErrTwoNames
		}
	}
	return chain[at], nil
}

// IsCA reports whether a certificate may sign others (RFC 5280 §4.2.1.9, §4.2.1.3). crypto/x509 doesn't ask that
// of a root.
func IsCA(c *x509.Certificate) bool {
	return c.BasicConstraintsValid && c.IsCA && c.KeyUsage&x509.KeyUsageCertSign != 0
}
