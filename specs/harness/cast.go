package harness

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/sallyport/sallyport/scenarios"
)

// The cast, the certificates and the key log are those of the scenarios.
type (
	Users  = scenarios.Users
	Key    = scenarios.Key
	KeyLog = scenarios.KeyLog
)

// The kinds of keys.
const (
	ECDSA   = scenarios.ECDSA
	Ed25519 = scenarios.Ed25519
	RSA     = scenarios.RSA
)

// Cast returns the names of the users.
func Cast() []string { return scenarios.Cast() }

// Password is the password of a member of the cast.
func Password(name string) string { return scenarios.Password(name) }

// NewUsers returns the whole cast.
func NewUsers() *Users { return scenarios.NewUsers() }

// Certificate is [scenarios.Certificate].
func Certificate(kind Key) tls.Certificate { return scenarios.Certificate(kind) }

// NewCertificate is [scenarios.NewCertificate].
func NewCertificate(kind Key, change func(*x509.Certificate)) tls.Certificate {
	return scenarios.NewCertificate(kind, change)
}
