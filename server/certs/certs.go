// Package certs makes and loads the certificates that a server shows: a private certificate
// authority (CA) of its own, and the server certificate that it signs.
//
// [Ensure] makes what is missing in a state directory and renews what is about to end, [New] signs
// a certificate for other names, [Load] gives a server its certificate, and [Pool] gives a client
// the CA to trust. Keys are ECDSA P-256, certificates keep to RFC 5280. The CA's key is needed to
// sign, not to serve: it may be moved away.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/sallyport/sallyport/server/state/durable"
)

// The files of a state directory that this package makes, all with mode 0600.
const (
	CAFile    = "ca.pem" // what clients trust; no secret
	CAKeyFile = "ca-key.pem"
	CertFile  = "cert.pem"
	KeyFile   = "key.pem"
)

// What can be wrong. Errors that wrap these name the file.
var (
	ErrNoCertificate = errors.New("no PEM certificate in the file")
	ErrExpired       = errors.New("the certificate expired")
	ErrNotYetValid   = errors.New("the certificate is not valid yet")
	ErrExposedKey    = errors.New("others can read or change the private key")
	ErrNoCAKey       = errors.New("the CA's key is not here: bring it back to make a server certificate")
	ErrEndsSoon      = errors.New("the certificate ends soon")
	ErrForeign       = errors.New("the certificate is not by the CA beside it")
	ErrHost          = errors.New("neither a DNS name nor an IP address")
)

const (
	day  = 24 * time.Hour
	anew = "remove " + CAFile + ", " + CAKeyFile + " and " + CertFile + " and give clients the new " + CAFile
)

// Load reads a certificate (the server's own first, then its chain, if any) and its private key,
// and sets Leaf. It refuses a pair that doesn't belong together, a certificate outside its validity
// ([ErrExpired], [ErrNotYetValid]), and a key file that everyone can read or that anyone but its
// owner can change ([ErrExposedKey]; some systems hand out keys that a group can read, and on
// Windows, which keeps permissions elsewhere, they aren't looked at).
func Load(certFile, keyFile string, now time.Time) (tls.Certificate, error) {
	pair, err := readPair(certFile, keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	if end := pair.Leaf.NotAfter; now.After(end) {
		return tls.Certificate{}, fmt.Errorf("%s: %w on %v", certFile, ErrExpired, end)
	}
	if start := pair.Leaf.NotBefore; now.Before(start) {
		return tls.Certificate{}, fmt.Errorf("%s: %w, but from %v on: is the clock right?", certFile, ErrNotYetValid, start)
	}
	return pair, nil
}

// Pool reads the certificates of the CAs to trust, at least one. Beside an error the pool is empty, not
// nil: nil would trust the system's CAs.
func Pool(caFile string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	data, err := os.ReadFile(caFile)
	if err == nil && !pool.AppendCertsFromPEM(data) {
		err = fmt.Errorf("%s: %w", caFile, ErrNoCertificate)
	}
	return pool, err
}

// Ensure makes what is missing of the CA and of the server's certificate and key in dir, which must
// exist, and renews a certificate with less than 30 days left. A new one is for hosts (DNS names and
// IP addresses); if there are none, for the names of the one it replaces, else for localhost and this
// host's own name and addresses. Keys that are there are used again: a renewal replaces one file, and
// a run that was cut short is completed by the next. Several processes may call it at once.
//
// The warning leaves everything usable: [ErrForeign] where the CA didn't issue the certificate, which
// is the operator's own then and left alone, and [ErrEndsSoon] where it can't be renewed. The error is
// [ErrNoCAKey] where a certificate must be made and can't be.
func Ensure(dir string, hosts []string, now time.Time) (warning, err error) {
	ca, release, err := openCA(dir, now)
	if err != nil {
		return nil, err
	}
	defer release()
	file := filepath.Join(dir, CertFile)
	pair, err := readPair(file, filepath.Join(dir, KeyFile))
	switch leaf := pair.Leaf; {
	case errors.Is(err, fs.ErrNotExist):
		return nil, makeServer(dir, ca, hosts, now)
	case err != nil:
		return nil, err
	case ca.Leaf != nil && leaf.CheckSignatureFrom(ca.Leaf) != nil:
		return fmt.Errorf("%s: %w, in %s: clients that trust that one refuse it", file, ErrForeign, CAFile), nil
	case leaf.NotAfter.Sub(now) >= 30*day:
		return nil, nil
	case now.Before(leaf.NotAfter) && (ca.Leaf == nil || leaf.NotAfter.Equal(ca.Leaf.NotAfter)):
		return fmt.Errorf("%s: %w, on %v: bring %s back, or, if it is here, %s", file, ErrEndsSoon, leaf.NotAfter, CAKeyFile, anew), nil
	case len(hosts) == 0:
		hosts = slices.Clone(leaf.DNSNames)
		for _, ip := range leaf.IPAddresses {
			hosts = append(hosts, ip.String())
		}
	}
	return nil, makeServer(dir, ca, hosts, now)
}

// New makes a server certificate for hosts in dir, whatever is there already, and the rest as
// [Ensure] does. For a new key too, remove key.pem first. The error wraps [ErrHost] where one of the
// hosts can't be in a certificate.
func New(dir string, hosts []string, now time.Time) error {
	ca, release, err := openCA(dir, now)
	if err != nil {
		return err
	}
	defer release()
	return makeServer(dir, ca, hosts, now)
}

// openCA locks dir and reads its CA, or returns none if the key has been moved away. It makes what
// is missing: the certificate alone where a run was cut short after the key.
func openCA(dir string, now time.Time) (ca tls.Certificate, release func(), err error) {
	if release, err = durable.Lock(filepath.Join(dir, "certs.lock")); err != nil {
		return ca, nil, err
	}
	certFile, keyFile := filepath.Join(dir, CAFile), filepath.Join(dir, CAKeyFile)
	if _, err = os.Stat(certFile); errors.Is(err, fs.ErrNotExist) {
		err = issue(certFile, keyFile, ca, &x509.Certificate{
			Subject:        pkix.Name{CommonName: "Sallyport CA"},
			NotAfter:       now.Add(3650 * day),
			KeyUsage:       x509.KeyUsageCertSign,
			IsCA:           true,
			MaxPathLenZero: true,
		}, now)
	}
	if err == nil {
		ca, err = readPair(certFile, keyFile)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		release()
		return ca, nil, err
	}
	return ca, release, nil
}

// makeServer makes a certificate that ends with its CA's at the latest.
func makeServer(dir string, ca tls.Certificate, hosts []string, now time.Time) error {
	switch {
	case ca.Leaf == nil:
		return fmt.Errorf("%s: %w", filepath.Join(dir, CAKeyFile), ErrNoCAKey)
	case now.After(ca.Leaf.NotAfter):
		return fmt.Errorf("%s: %w on %v: %s", filepath.Join(dir, CAFile), ErrExpired, ca.Leaf.NotAfter, anew)
	case len(hosts) == 0:
		hosts = localHosts()
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Sallyport server"},
		NotAfter:    now.Add(min(365*day, ca.Leaf.NotAfter.Sub(now))),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if len(host) <= 253 && dnsName.MatchString(host) {
			template.DNSNames = append(template.DNSNames, host)
		} else {
			return fmt.Errorf("%q is %w", host, ErrHost)
		}
	}
	return issue(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile), ca, template, now)
}

// issue writes a certificate for the key in keyFile, which it makes first where there is none.
// Without a CA the certificate signs itself.
func issue(certFile, keyFile string, ca tls.Certificate, template *x509.Certificate, now time.Time) error {
	key, err := ensureKey(keyFile)
	if err != nil {
		return err
	}
	template.NotBefore = now.Add(-time.Hour) // for clients whose clock is behind
	template.BasicConstraintsValid = true
	if ca.Leaf == nil {
		ca = tls.Certificate{Leaf: template, PrivateKey: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, key.Public(), ca.PrivateKey)
	if err != nil {
		return err
	}
	return durable.Write(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// ensureKey reads a private key, or makes it where there is none.
func ensureKey(file string) (*ecdsa.PrivateKey, error) {
	data, err := os.ReadFile(file)
	if err == nil {
		return parseKey(file, data)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, durable.Write(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

func parseKey(file string, data []byte) (*ecdsa.PrivateKey, error) {
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	key, err := x509.ParseECPrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (remove it to get a new key)", file, err)
	}
	return key, nil
}

func readPair(certFile, keyFile string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return pair, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	info, err := os.Stat(keyFile)
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o027 != 0 {
		err = fmt.Errorf("%s: %w (mode %04o): chmod 600 it, or make a new one", keyFile, ErrExposedKey, info.Mode().Perm())
	}
	if err == nil {
		pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]) // GODEBUG can keep it from being set
	}
	return pair, err
}

// dnsName is a host name in ASCII (RFC 1123 §2.1; other scripts in their xn-- form), with the
// underscore that some networks use, or a wildcard.
var dnsName = regexp.MustCompile(`^(\*\.)?\w[\w-]{0,62}(\.\w[\w-]{0,62})*$`)

// localHosts leaves out link-local addresses, which mean nothing without a zone.
func localHosts() []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil && dnsName.MatchString(name) && name != "localhost" {
		hosts = append(hosts, name)
	}
	addrs, _ := net.InterfaceAddrs() // without them the names still make a certificate
	for _, addr := range addrs {
		if n, ok := addr.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			hosts = append(hosts, n.IP.String())
		}
	}
	return hosts
}
