package state

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport/sallyport/server/certs"
)

// Check returns the error with which Prepare would fail. It changes nothing. missing names the directories and files
// that Prepare would make. With [ErrCertificates] only the certificates are wrong, see Prepare.
func (p Paths) Check(now time.Time) (missing []string, err error) {
	for _, dir := range []string{p.Dir, cmp.Or(p.Logs, p.Dir)} {
		switch err := checkDir(dir); {
		case errors.Is(err, fs.ErrNotExist) && dir == p.Dir:
			return []string{dir}, nil // and all files in it
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%w %s: %w", ErrDir, dir, err)
		}
	}
	if _, err := readRandom(p.Secret(), secretSize, ErrSecret); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, file := range []string{p.Secret(), p.Users(), p.CA(), p.Cert(), p.Key()} {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, file)
		} else if err != nil {
			return missing, err
		}
	}
	if err := p.checkCertificate(now); err != nil {
		return missing, fmt.Errorf("%w: %w", ErrCertificates, err)
	}
	return missing, nil
}

// checkCertificate returns an error if there is no valid certificate, and none can be made.
func (p Paths) checkCertificate(now time.Time) error {
	_, err := certs.Load(p.Cert(), p.Key(), now)
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, certs.ErrExpired) {
		return err
	}
	_, noKey := os.Stat(filepath.Join(p.Dir, certs.CAKeyFile))
	_, noCA := os.Stat(p.CA())
	if noCA == nil && noKey != nil {
		return certs.ErrNoCAKey
	}
	return nil // Prepare makes one
}
