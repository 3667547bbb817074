package certs

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol/scram"
)

// Errors of client certificates.
var (
	ErrName     = errors.New("certs: a user can't have this name")
	ErrTaken    = errors.New("certs: the file belongs to another client")
	ErrNotCA    = errors.New("certs: not a CA that may sign certificates")
	ErrNoClient = errors.New("certs: not a certificate for client authentication")
	ErrNotUser  = errors.New("certs: the certificate is not the user's")
)

// ClientFiles returns the files in dir of a client's certificate and key: client-NAME.pem and client-NAME-key.pem.
// Bytes of the name other than letters, digits, ".", "-" and "_" become %XX.
func ClientFiles(dir, preparedName string) (certFile, keyFile string) {
	var b strings.Builder
	for _, c := range []byte(preparedName) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(".-_", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	base := filepath.Join(dir, "client-"+b.String())
	return base + ".pem", base + "-key.pem"
}

// IssueClient makes a certificate in dir with which a user can log in to a server that demands one. It is valid
// for a year. Like [Issue] it replaces an old certificate, keeps an existing key, and makes other missing files.
// It returns the files. Errors are [ErrName], and [ErrTaken] for a name like that of another user with "-key".
func IssueClient(dir, name string, now time.Time) (certFile, keyFile string, err error) {
	prepared, err := scram.Prepare(name)
	if err != nil || len(prepared) > scram.MaxName {
		return "", "", fmt.Errorf("%.80q: %w", name, ErrName)
	}
	ca, release, err := openCA(dir, now)
	if err != nil {
		return "", "", err
	}
	defer release()
	if err = canSign(ca, dir, now); err != nil {
		return "", "", err
	}
	certFile, keyFile = ClientFiles(dir, prepared)
	if err = errors.Join(holds(certFile, "CERTIFICATE"), holds(keyFile, "EC PRIVATE KEY")); err != nil {
		return "", "", err
	}
	return certFile, keyFile, sign(certFile, keyFile, ca, &x509.Certificate{
		Subject:     pkix.Name{CommonName: prepared},
		NotAfter:    lastDay(ca, now),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, now)
}

// holds returns ErrTaken if a file exists and has something else than a PEM block of this kind: client-a-key.pem is
// the key of "a" or the certificate of "a-key".
func holds(file, kind string) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if block, _ := pem.Decode(data); err == nil && (block == nil || block.Type != kind) {
		err = fmt.Errorf("%s: %w", file, ErrTaken)
	}
	return err
}

// ClientCAs reads the CAs that sign certificates of clients. Beside an error the pool is empty. The error is
// [ErrNotCA] if one may not sign: a certificate of a client in this place would be trusted like a CA.
func ClientCAs(file string) (*x509.CertPool, error) {
	pool, err := Pool(file)
	if err != nil {
		return pool, err
	}
	data, err := os.ReadFile(file)
	for block, rest := pem.Decode(data); block != nil && err == nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		var ca *x509.Certificate
		ca, err = x509.ParseCertificate(block.Bytes)
		if err == nil && !(ca.BasicConstraintsValid && ca.IsCA && ca.KeyUsage&x509.KeyUsageCertSign != 0) {
			err = fmt.Errorf("%s: %q: %w", file, ca.Subject.CommonName, ErrNotCA)
		}
	}
	if err != nil {
		return x509.NewCertPool(), err
	}
	return pool, nil
}

// DemandClient makes a server's configuration demand a certificate from one of the CAs in the handshake. Unlike
// crypto/tls alone it refuses a certificate that is not explicitly for client authentication (RFC 5280 §4.2.1.12).
// TLS 1.2 sends certificates in the clear, with the names of users: set MinVersion to TLS 1.3 to keep them private.
func DemandClient(config *tls.Config, cas *x509.CertPool) {
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, cas
	config.VerifyConnection = func(state tls.ConnectionState) error { // also of a resumed connection
		if len(state.PeerCertificates) == 0 || !slices.Contains(state.PeerCertificates[0].ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
			return ErrNoClient
		}
		return nil
	}
}

// CheckClient returns nil if the common name of the client's certificate, after SASLprep (RFC 4013), is the
// user's. Other names in the certificate don't matter. Errors are [ErrNotUser] and [ErrNoClient].
func CheckClient(preparedUser string, state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return ErrNoClient
	}
	var names []any
	for _, attribute := range state.PeerCertificates[0].Subject.Names {
		if attribute.Type.Equal(commonName) {
			names = append(names, attribute.Value)
		}
	}
	if len(names) != 1 { // with several it is open which one the CA has checked
		return ErrNotUser
	}
	name, ok := names[0].(string)
	if !ok || len(name) > scram.MaxName {
		return ErrNotUser
	}
	if prepared, err := scram.Prepare(name); err != nil || prepared != preparedUser {
		return fmt.Errorf("%w: it is of %.80q", ErrNotUser, name)
	}
	return nil
}

// commonName is the attribute of a subject's common name (RFC 4519 §2.3).
var commonName = []int{2, 5, 4, 3}
