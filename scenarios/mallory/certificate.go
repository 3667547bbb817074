package mallory

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"time"
)

// faults are what can be wrong with a certificate.
var faults = []string{"expired", "not-yet-valid", "wrong-name", "unknown-ca", "wrong-usage"}

// Certificate makes a certificate for 127.0.0.1 that has the fault, or none
// where that is empty, and returns the roots that an honest client trusts: the CA
// that has signed it, except for unknown-ca.
func Certificate(fault string) (pair tls.Certificate, roots *x509.CertPool, err error) {
	if err := known(fault, append(faults, "")...); err != nil {
		return pair, nil, err
	}
	ca, leaf := template("an authority"), template("a server")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	switch fault {
	case "expired":
		leaf.NotAfter = time.Now().Add(-time.Minute)
	case "not-yet-valid":
		leaf.NotBefore = time.Now().Add(time.Hour)
	case "wrong-name":
		leaf.IPAddresses, leaf.DNSNames = nil, []string{"elsewhere.example"}
	case "wrong-usage":
		leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	authority, err := sign(ca, nil)
	if err != nil {
		return pair, nil, err
	}
	if pair, err = sign(leaf, &authority); err != nil {
		return pair, nil, err
	}
	if fault == "unknown-ca" {
		if authority, err = sign(ca, nil); err != nil {
			return pair, nil, err
		}
	}
	roots = x509.NewCertPool()
	roots.AddCert(authority.Leaf)
	return pair, roots, nil
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(2 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

// sign makes a key and a certificate for it, signed by the authority or, where
// that is nil, by itself.
func sign(template *x509.Certificate, authority *tls.Certificate) (pair tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair, err
	}
	issuer, signer := template, any(key)
	if authority != nil {
		issuer, signer = authority.Leaf, authority.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return pair, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
