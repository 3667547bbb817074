package pin

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Cache keeps CAs in a directory, a file for each.
type Cache struct {
	// Dir is the directory, which Store makes. Empty means that nothing is kept.
	Dir string
}

var errNoCache = errors.New("pin: there is no directory for the cache")

// Path returns the file of a CA.
func (c Cache) Path(p Pin) string { return filepath.Join(c.Dir, "ca-"+hex.EncodeToString(p[:])+".pem") }

// Load returns the CA with this pin. It checks the hash again, because the file may have been changed.
func (c Cache) Load(p Pin) (*x509.Certificate, error) {
	if c.Dir == "" {
		return nil, errNoCache
	}
	data, err := os.ReadFile(c.Path(p))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: %w", c.Path(p), ErrNotFound)
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return nil, err
	case Of(ca) != p:
		return nil, fmt.Errorf("%s: %w", c.Path(p), ErrNotFound)
	case !IsCA(ca):
		return nil, fmt.Errorf("%s: %w", c.Path(p), ErrNotCA)
	}
	return ca, nil
}

// Store keeps a CA, in a file that only its owner can read or change. Several processes may call it at once.
func (c Cache) Store(ca *x509.Certificate) error {
	if c.Dir == "" {
		return errNoCache
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(c.Dir, ".ca-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // after an error
	err = pem.Encode(file, &pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), c.Path(Of(ca)))
}
