// Package state manages the directory of a server: its certificates, its users, the secret of mock challenges and the
// interaction log. [Prepare] makes what is missing, [Paths.Lock] excludes a second server, and [Default] is the usual
// directory.
package state

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/state/durable"
)

var (
	// ErrDir means that a directory can't or must not be used.
	ErrDir = errors.New("can't be the state directory")
	// ErrInUse means that a server runs on the directory.
	ErrInUse = errors.New("a server runs on this state directory")
	// ErrSecret means that the file secret is not as Prepare wrote it.
	ErrSecret = errors.New("not 64 hex digits: remove the file to get a new secret (challenges for unknown names change with it)")
	// ErrCertificates means that everything but the certificates is usable.
	ErrCertificates = errors.New("certificates")
)

// Paths names the files of a state directory.
type Paths struct{ Dir string }

func (p Paths) CA() string     { return filepath.Join(p.Dir, certs.CAFile) }   // trusted by clients
func (p Paths) Cert() string   { return filepath.Join(p.Dir, certs.CertFile) } // the server's certificate
func (p Paths) Key() string    { return filepath.Join(p.Dir, certs.KeyFile) }  // the server's key
func (p Paths) Users() string  { return filepath.Join(p.Dir, "users") }        // names and verifiers
func (p Paths) Secret() string { return filepath.Join(p.Dir, "secret") }       // key of mock challenges
func (p Paths) Audit() string  { return filepath.Join(p.Dir, "audit.jsonl") }  // the interaction log

// Default returns $XDG_STATE_HOME/sallyport if that is an absolute path, otherwise ~/.local/state/sallyport, also on
// macOS. On Windows it returns %LocalAppData%\sallyport.
func Default() (string, error) {
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "sallyport"), nil
	}
	if runtime.GOOS == "windows" {
		base, err := os.UserCacheDir()
		return filepath.Join(base, "sallyport"), err
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "state", "sallyport"), err
}

// State is a directory that is ready for a server.
type State struct {
	Paths
	// MockSecret has 32 bytes.
	MockSecret []byte
	// Warning is what the operator should know about the files, or nil.
	Warning error
}

// Prepare makes what is missing in dir: the directory (mode 0700), the secret, an empty users file, and the
// certificates for hosts as [certs.Ensure] does (all 0600). It is safe for concurrent use by several processes. It
// fails with [ErrDir] if another user owns the directory or can write to it, because its files may then be that
// user's. With [ErrCertificates] the rest of the State is usable.
func Prepare(dir string, hosts []string, now time.Time) (State, error) {
	s := State{Paths: Paths{dir}}
	if err := prepareDir(dir); err != nil {
		return s, fmt.Errorf("%s: %w: %w", dir, ErrDir, err)
	}
	f, err := os.OpenFile(s.Users(), os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return s, err
	}
	f.Close()
	if s.MockSecret, err = ensureSecret(s.Secret()); err != nil {
		return s, err
	}
	if s.Warning, err = certs.Ensure(dir, hosts, now); err != nil {
		err = fmt.Errorf("%w: %w", ErrCertificates, err)
	}
	s.Warning = errors.Join(s.Warning, exposed(s.Users()), exposed(s.Secret()), exposed(s.Audit()))
	return s, err
}

// exposed returns a warning if others than its owner can read or change a file.
func exposed(file string) error {
	info, err := os.Stat(file)
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	return fmt.Errorf("%s: others can read or change it (mode %04o): chmod 600 it", file, info.Mode().Perm())
}

func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !ownedByUs(info):
		return errors.New("another user owns it, and only that user may run this")
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others can write to it (mode %04o): check its files, then chmod 700 it", info.Mode().Perm())
	}
	return nil
}

func ensureSecret(file string) ([]byte, error) {
	release, err := durable.Lock(file + ".lock")
	if err != nil {
		return nil, err
	}
	defer release()
	text, _, err := durable.Read(file, 1024)
	if errors.Is(err, fs.ErrNotExist) {
		secret := make([]byte, 32)
		rand.Read(secret) // never fails
		return secret, durable.Write(file, []byte(hex.EncodeToString(secret)+"\n"))
	}
	secret, bad := hex.DecodeString(strings.TrimSpace(string(text)))
	if err == nil && (bad != nil || len(secret) != 32) {
		err = fmt.Errorf("%s: %w", file, ErrSecret)
	}
	return secret, err
}

// Lock takes the lock of a running server, until release or the end of the process. The error is [ErrInUse] if another
// process holds it, and names its id. The id is in a file of its own, serve.pid, because Windows doesn't let others
// read a locked file.
func (p Paths) Lock() (release func(), err error) {
	lock, pidFile := flock.New(filepath.Join(p.Dir, "serve.lock")), filepath.Join(p.Dir, "serve.pid")
	if ok, err := lock.TryLock(); err != nil {
		return nil, err
	} else if !ok {
		pid, _, _ := durable.Read(pidFile, 64)
		return nil, fmt.Errorf("%s: %w, as process %s",
			p.Dir, ErrInUse, strings.TrimSpace(string(pid)))
	}
	if err := durable.Write(pidFile, fmt.Appendln(nil, os.Getpid())); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return func() { _ = lock.Close() }, nil
}
