package testserver

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"
)

// clientCA returns the CA of the certificates of clients.
var clientCA = sync.OnceValue(func() tls.Certificate {
	return NewCertificate(ECDSA, func(c *x509.Certificate) { c.Subject.CommonName, c.ExtKeyUsage = "CA of clients", nil })
})

// ClientCAs returns the CA that has signed each [ClientCertificate] without a fault.
func ClientCAs() *x509.CertPool { return Pool(clientCA()) }

// clientFaults make a certificate that a server must refuse in the handshake.
var clientFaults = map[string]func(*x509.Certificate){
	"":              func(*x509.Certificate) {},
	"unknown-ca":    func(*x509.Certificate) {},
	"expired":       func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) },
	"not-yet-valid": func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) },
	"wrong-usage":   func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
	"any-usage":     func(c *x509.Certificate) { c.ExtKeyUsage = nil },
	"another-name": func(c *x509.Certificate) {
		c.DNSNames, c.Subject.CommonName = []string{c.Subject.CommonName}, "another"
	},
}

// ClientCertificate makes a client's certificate with a user's name. what is the name, or NAME:FAULT. The faults are
// expired, not-yet-valid, wrong-usage, any-usage, unknown-ca, and another-name, which has the user's name only where
// a server must not look.
func ClientCertificate(what string) (tls.Certificate, error) {
	user, fault, _ := strings.Cut(what, ":")
	change, ok := clientFaults[fault]
	if !ok {
		return tls.Certificate{}, fmt.Errorf("testserver: a client's certificate has no fault %q", fault)
	}
	ca := clientCA()
	if fault == "unknown-ca" {
		ca = NewCertificate(ECDSA, func(c *x509.Certificate) { c.ExtKeyUsage = nil })
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: user},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	key := newKey(ECDSA)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, key.Public(), ca.PrivateKey)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
