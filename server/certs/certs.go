// Package certs makes and loads the certificates of a server: a private certificate authority (CA) and the server
// certificate that it signs.
//
// [Ensure] makes what is missing in a state directory and renews certificates that end soon. [Issue] makes a
// certificate for other names. [Load] loads a server's certificate, and [Pool] the CA that a client trusts. Keys are
// ECDSA P-256, certificates follow RFC 5280. The CA's key is needed to sign, but not to serve: it may be moved away.
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

// Files that this package makes in a state directory, all with mode 0600.
const (
	CAFile    = "ca.pem" // clients trust it; it is no secret
	CAKeyFile = "ca-key.pem"
	CertFile  = "cert.pem"
	KeyFile   = "key.pem"
)

// Errors. Those that wrap them name the file.
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

// Load reads a certificate, with its chain if it has one, and its private key, and sets Leaf. It refuses a pair that
// doesn't match, a certificate outside its validity ([ErrExpired], [ErrNotYetValid]), and a key file that everybody
// can read or that others than its owner can change ([ErrExposedKey]). The group may read it, because some systems
// distribute keys so. On Windows Load doesn't check permissions.
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

// Pool reads the CAs to trust, at least one. With an error the pool is empty, not nil: nil would trust the system's
// CAs.
func Pool(caFile string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	data, err := os.ReadFile(caFile)
	if err == nil && !pool.AppendCertsFromPEM(data) {
		err = fmt.Errorf("%s: %w", caFile, ErrNoCertificate)
	}
	return pool, err
}

// Ensure makes what is missing of the CA, the server's certificate and its key in dir, which must exist, and renews a
// certificate with less than 30 days left. A new certificate is for hosts (DNS names and IP addresses). Without
// hosts it is for the names of the one it replaces, or for localhost and this host's names and addresses. Ensure
// reuses existing keys, so a renewal replaces one file, and the next call completes an interrupted one. It is safe
// for concurrent use by several processes.
//
// With a warning everything is usable: [ErrForeign] means that the CA didn't sign the certificate, which is then the
// operator's own and stays unchanged; [ErrEndsSoon] means that the certificate can't be renewed. The error is
// [ErrNoCAKey] if a certificate must be made and the CA's key is missing.
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

// Issue makes a server certificate for hosts in dir, also if there is one, and everything else as [Ensure] does. To
// get a new key, remove key.pem first. The error wraps [ErrHost] if a certificate can't contain a host.
func Issue(dir string, hosts []string, now time.Time) error {
	ca, release, err := openCA(dir, now)
	if err != nil {
		return err
	}
	defer release()
	return makeServer(dir, ca, hosts, now)
}

// openCA locks dir and reads its CA. It returns none if the CA's key is missing. It makes what is missing, also the
// certificate alone, if an earlier run was interrupted after it had made the key.
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

// makeServer makes a server certificate, which ends with its CA's at the latest.
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

// issue writes a certificate for the key in keyFile, and makes the key first if it is missing. Without a CA the
// certificate signs itself.
func issue(certFile, keyFile string, ca tls.Certificate, template *x509.Certificate, now time.Time) error {
	key, err := ensureKey(keyFile)
	if err != nil {
		return err
	}
	template.NotBefore = now.Add(-time.Hour) // for clients whose clock is slow
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

// ensureKey reads a private key, or makes it if it is missing.
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
		pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]) // GODEBUG may prevent that it is set
	}
	return pair, err
}

// dnsName matches a host name in ASCII (RFC 1123 §2.1; other scripts in their xn-- form), also with the underscore that
// some networks use, and a wildcard.
var dnsName = regexp.MustCompile(`^(\*\.)?\w[\w-]{0,62}(\.\w[\w-]{0,62})*$`)

// localHosts returns the names and addresses of this host, without link-local addresses, which need a zone.
func localHosts() []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil && dnsName.MatchString(name) && name != "localhost" {
		hosts = append(hosts, name)
	}
	addrs, _ := net.InterfaceAddrs() // the names alone make a certificate too
	for _, addr := range addrs {
		if n, ok := addr.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			hosts = append(hosts, n.IP.String())
		}
	}
	return hosts
}
