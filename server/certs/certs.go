// Package certs makes and loads the certificates of a server: a private certificate authority (CA), and the
// server certificate that this CA signs.
//
// Start with [Ensure]: it makes the missing files of a state directory and renews a certificate that ends
// soon. [Keeper] does so while the server runs. [Issue] signs a certificate for other names. [LoadOwn] returns
// the certificate for a server, [Pool] the CA for a client. Keys are ECDSA P-256, certificates follow RFC
// 5280. A server needs the key of the CA only to sign a certificate: the operator may keep it elsewhere.
//
// Certificates of clients are a second factor. [IssueClient] makes one for a user, [DemandClient] makes a server
// ask for one, and [CheckClient] compares it with the user who logs in.
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
	CAFile    = "ca.pem"     // the certificate of the CA, which clients trust; no secret
	CAKeyFile = "ca-key.pem" // the private key of the CA
	CertFile  = "cert.pem"   // the server's certificate
	KeyFile   = "key.pem"    // the server's private key
)

// CAName is the common name of the CA that [Ensure] makes.
const CAName = "Sallyport CA"

// The faults of certificates and keys. Errors that wrap these name the file or the host.
var (
	ErrNoCertificate = errors.New("certs: no PEM certificate in the file")
	ErrExpired       = errors.New("certs: the certificate expired")
	ErrNotYetValid   = errors.New("certs: the certificate is not valid yet")
	ErrExposedKey    = errors.New("certs: others can read or change the private key")
	ErrNoCAKey       = errors.New("certs: the CA's key is missing: bring it back to make a certificate")
	ErrEndsSoon      = errors.New("certs: the certificate ends soon")
	ErrForeign       = errors.New("certs: the certificate is not from the CA beside it")
	ErrHost          = errors.New("certs: neither a DNS name nor an IP address")
)

const (
	day  = 24 * time.Hour
	anew = "remove " + CAFile + ", " + CAKeyFile + " and " + CertFile + " and give clients the new " + CAFile
)

// Load reads a certificate (the server's own, then its chain, if any) and its private key, and sets Leaf. It
// refuses a key that doesn't match, and a certificate outside its validity ([ErrExpired], [ErrNotYetValid]).
// It also refuses a key file that everyone can read or that others than its owner can change
// ([ErrExposedKey]). A group may read it, because some systems hand out keys that way. Windows keeps
// permissions elsewhere, so Load doesn't check them there.
func Load(certFile, keyFile string, now time.Time) (tls.Certificate, error) {
	pair, err := ReadPair(certFile, keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	if end := pair.Leaf.NotAfter; now.After(end) {
		return tls.Certificate{}, fmt.Errorf("%s: %w on %s: put a new one in its place", certFile, ErrExpired, end.UTC().Format(time.RFC3339))
	}
	if start := pair.Leaf.NotBefore; now.Before(start) {
		return tls.Certificate{}, fmt.Errorf("%s: %w, but only from %s on: is the clock right?", certFile, ErrNotYetValid, start.UTC().Format(time.RFC3339))
	}
	return pair, nil
}

// LoadOwn loads the certificate of a state directory as [Load] does. It adds the CA to the chain, so that a client
// that knows only the hash of the CA gets it from the server.
func LoadOwn(dir string, now time.Time) (tls.Certificate, error) {
	pair, err := Load(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile), now)
	if err != nil {
		return pair, err
	}
	ca, err := Read(filepath.Join(dir, CAFile))
	if err == nil && len(pair.Certificate) == 1 && pair.Leaf.CheckSignatureFrom(ca) == nil {
		pair.Certificate = append(pair.Certificate, ca.Raw)
	}
	return pair, nil // the CA is no need of the server's
}

// Read reads the first certificate of a file, valid or not.
func Read(file string) (*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, fmt.Errorf("%s: %w", file, ErrNoCertificate)
}

// Pool reads the certificates of the CAs to trust, at least one. Beside an error the pool is empty and not
// nil: a nil pool would mean the CAs of the system.
func Pool(caFile string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	data, err := os.ReadFile(caFile)
	if err == nil && !pool.AppendCertsFromPEM(data) {
		err = fmt.Errorf("%s: %w", caFile, ErrNoCertificate)
	}
	return pool, err
}

// Ensure makes the missing files in dir, which must exist: the CA, and the server's certificate and key. It
// renews a certificate with less than 30 days left. A new certificate is for hosts, which are DNS names and
// IP addresses. Without hosts it is for the names of the certificate that it replaces, or else for localhost
// and this host's own name and addresses. Ensure uses existing keys again. The next run completes a run that
// was cut short. Several processes may call it at once.
//
// A warning leaves all files usable. It is [ErrForeign] if another CA issued the certificate: the operator
// has put it there, and Ensure leaves it alone. It is [ErrEndsSoon] if the certificate can't be renewed. The
// error is [ErrNoCAKey] if a certificate is missing and can't be made.
func Ensure(dir string, hosts []string, now time.Time) (warning, err error) {
	ca, release, err := openCA(dir, now)
	if err != nil {
		return nil, err
	}
	defer release()
	file := filepath.Join(dir, CertFile)
	pair, err := ReadPair(file, filepath.Join(dir, KeyFile))
	switch leaf := pair.Leaf; {
	case errors.Is(err, fs.ErrNotExist):
		return nil, makeServer(dir, ca, hosts, now)
	case err != nil:
		return nil, err
	case ca.Leaf != nil && leaf.CheckSignatureFrom(ca.Leaf) != nil:
		return fmt.Errorf("%s: %w, %s: clients that trust that CA refuse it", file, ErrForeign, CAFile), nil
	case leaf.NotAfter.Sub(now) >= soon:
		return nil, nil
	case now.Before(leaf.NotAfter) && (ca.Leaf == nil || leaf.NotAfter.Equal(ca.Leaf.NotAfter)):
		return fmt.Errorf("%s: %w, on %v: bring %s back, or, if you have it, %s", file, ErrEndsSoon, leaf.NotAfter, CAKeyFile, anew), nil
	case len(hosts) == 0:
		hosts = slices.Clone(leaf.DNSNames)
		for _, ip := range leaf.IPAddresses {
			hosts = append(hosts, ip.String())
		}
	}
	return nil, makeServer(dir, ca, hosts, now)
}

// Issue makes a server certificate for hosts in dir, also if there is one already, and makes other missing
// files as [Ensure] does. It uses an existing key.pem again: remove that file to get a new key. The error is
// [ErrHost] if a certificate can't be for one of the hosts.
func Issue(dir string, hosts []string, now time.Time) error {
	ca, release, err := openCA(dir, now)
	if err != nil {
		return err
	}
	defer release()
	return makeServer(dir, ca, hosts, now)
}

// openCA locks dir and reads its CA. It makes missing files: only the certificate if a run was cut short
// after the key. ca.Leaf is nil if the key is kept elsewhere.
func openCA(dir string, now time.Time) (ca tls.Certificate, release func(), err error) {
	if release, err = durable.Lock(filepath.Join(dir, "certs.lock")); err != nil {
		return ca, nil, err
	}
	certFile, keyFile := filepath.Join(dir, CAFile), filepath.Join(dir, CAKeyFile)
	if _, err = os.Stat(certFile); errors.Is(err, fs.ErrNotExist) {
		err = sign(certFile, keyFile, ca, &x509.Certificate{
			Subject:        pkix.Name{CommonName: CAName},
			NotAfter:       now.Add(3650 * day),
			KeyUsage:       x509.KeyUsageCertSign,
			IsCA:           true,
			MaxPathLenZero: true,
		}, now)
	}
	if err == nil {
		ca, err = ReadPair(certFile, keyFile)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		release()
		return ca, nil, err
	}
	return ca, release, nil
}

// CheckHost returns [ErrHost] if a certificate can't be for a host.
func CheckHost(host string) error {
	if net.ParseIP(host) == nil && (len(host) > 253 || !dnsName.MatchString(host)) {
		return fmt.Errorf("%.80q: %w", host, ErrHost)
	}
	return nil
}

// makeServer makes a server certificate, which ends no later than that of the CA.
func makeServer(dir string, ca tls.Certificate, hosts []string, now time.Time) error {
	if err := canSign(ca, dir, now); err != nil {
		return err
	}
	if len(hosts) == 0 {
		hosts = localHosts()
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Sallyport server"},
		NotAfter:    lastDay(ca, now),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if err := CheckHost(host); err != nil {
			return err
		}
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return sign(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile), ca, template, now)
}

// canSign returns an error if the key of the CA is kept elsewhere, or the CA has expired.
func canSign(ca tls.Certificate, dir string, now time.Time) error {
	switch {
	case ca.Leaf == nil:
		return fmt.Errorf("%s: %w", filepath.Join(dir, CAKeyFile), ErrNoCAKey)
	case now.After(ca.Leaf.NotAfter):
		return fmt.Errorf("%s: %w on %v: %s", filepath.Join(dir, CAFile), ErrExpired, ca.Leaf.NotAfter, anew)
	}
	return nil
}

// lastDay returns the end of a new certificate: a year from now, but not after the end of the CA.
func lastDay(ca tls.Certificate, now time.Time) time.Time {
	return now.Add(min(365*day, ca.Leaf.NotAfter.Sub(now)))
}

// sign writes a certificate for the key in keyFile. It makes the key if it is missing. Without a CA the
// certificate signs itself.
func sign(certFile, keyFile string, ca tls.Certificate, template *x509.Certificate, now time.Time) error {
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
		return nil, fmt.Errorf("certs: %s: %w (remove the file to get a new key)", file, err)
	}
	return key, nil
}

// ReadPair reads a certificate and its key like [Load], but also a certificate outside its validity.
func ReadPair(certFile, keyFile string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return pair, fmt.Errorf("certs: certificate %s with key %s: %w", certFile, keyFile, err)
	}
	info, err := os.Stat(keyFile)
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o027 != 0 {
		err = fmt.Errorf("%s: %w (mode %04o): chmod 600 it, or make a new key", keyFile, ErrExposedKey, info.Mode().Perm())
	}
	if err == nil {
		pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]) // tls doesn't set it under some GODEBUG
	}
	return pair, err
}

// dnsName matches a host name in ASCII (RFC 1123 §2.1; other scripts in their xn-- form), with the underscore
// that some networks use, or a wildcard.
var dnsName = regexp.MustCompile(`^(\*\.)?\w[\w-]{0,62}(\.\w[\w-]{0,62})*$`)

// localHosts returns the names and addresses of this host. It leaves out link-local addresses, which mean
// nothing without a zone.
func localHosts() []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil && dnsName.MatchString(name) && name != "localhost" {
		hosts = append(hosts, name)
	}
	addrs, _ := net.InterfaceAddrs() // after an error the names still make a certificate
	for _, addr := range addrs {
		if n, ok := addr.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			hosts = append(hosts, n.IP.String())
		}
	}
	return hosts
}
