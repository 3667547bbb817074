package harness

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// The cast, the certificates and the records of the log are those of testserver.
type (
	Users  = testserver.Users
	Key    = testserver.Key
	Record = testserver.Record
	Log    = testserver.Log
	KeyLog = scenarios.KeyLog
)

// The kinds of keys.
const (
	ECDSA   = testserver.ECDSA
	Ed25519 = testserver.Ed25519
	RSA     = testserver.RSA
)

// Cast returns the names of the users.
func Cast() []string { return testserver.Cast() }

// Password is the password of a member of the cast.
func Password(name string) string { return testserver.Password(name) }

// NewUsers returns the whole cast.
func NewUsers() *Users { return testserver.NewUsers() }

// Certificate is [testserver.Certificate].
func Certificate(kind Key) tls.Certificate { return testserver.Certificate(kind) }

// NewCertificate is [testserver.NewCertificate].
func NewCertificate(kind Key, change func(*x509.Certificate)) tls.Certificate {
	return testserver.NewCertificate(kind, change)
}
