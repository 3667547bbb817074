package testserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// Key is a kind of key.
type Key string

// The kinds of keys.
const (
	ECDSA   Key = "ecdsa"
	Ed25519 Key = "ed25519"
	RSA     Key = "rsa"
)

var made = map[Key]func() tls.Certificate{ECDSA: once(ECDSA), Ed25519: once(Ed25519), RSA: once(RSA)}

func once(kind Key) func() tls.Certificate {
	return sync.OnceValue(func() tls.Certificate { return NewCertificate(kind, func(*x509.Certificate) {}) })
}

// Certificate returns a self-signed certificate for 127.0.0.1, ::1 and localhost, the same for each
// call with the same kind.
func Certificate(kind Key) tls.Certificate { return made[kind]() }

// NewCertificate makes a certificate like that of [Certificate]. It calls change before it signs.
func NewCertificate(kind Key, change func(*x509.Certificate)) tls.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "sallyport test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA:         true, BasicConstraintsValid: true,
	}
	change(template)
	key := newKey(kind)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func newKey(kind Key) (key crypto.Signer) {
	var err error
	switch kind {
	case Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case RSA:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		panic(err)
	}
	return key
}

// Pool returns a pool that trusts the certificates.
func Pool(pairs ...tls.Certificate) *x509.CertPool {
	roots := x509.NewCertPool()
	for _, pair := range pairs {
		roots.AddCert(pair.Leaf)
	}
	return roots
}

// faults make a certificate that a client must refuse, even if it trusts the signature.
var faults = map[string]func(*x509.Certificate){
	"":              func(*x509.Certificate) {},
	"unknown-ca":    func(*x509.Certificate) {},
	"expired":       func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) },
	"not-yet-valid": func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) },
	"wrong-name":    func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"elsewhere.example"} },
	"wrong-usage":   func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
}

// FaultyCertificate makes a new certificate with a fault that a client must notice: expired,
// not-yet-valid, wrong-name, wrong-usage or unknown-ca. An empty fault means none. The roots are the
// client's: they trust the certificate, except for unknown-ca.
func FaultyCertificate(fault string) (pair tls.Certificate, roots *x509.CertPool, err error) {
	change, ok := faults[fault]
	if !ok {
		return pair, nil, fmt.Errorf("testserver: a certificate has no fault %q", fault)
	}
	pair = NewCertificate(ECDSA, change)
	if fault == "unknown-ca" {
		return pair, Pool(NewCertificate(ECDSA, change)), nil
	}
	return pair, Pool(pair), nil
}
