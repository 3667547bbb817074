// Package state keeps the directory that a server runs from: its certificates, its users, the secret
// behind mock challenges and the interaction log. [Prepare] makes what is missing, [Paths.Lock] keeps
// a second server off it, and [Default] says where it is unless told otherwise.
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
	// ErrDir says that a directory can't or must not be used.
	ErrDir = errors.New("can't be the state directory (choose another with --state)")
	// ErrInUse says that a server runs on the directory.
	ErrInUse = errors.New("a server runs on this state directory")
	// ErrSecret says that the file secret is not as Prepare wrote it.
	ErrSecret = errors.New("not 64 hex digits: remove the file to get a new secret (challenges for unknown names change with it)")
	// ErrCertificates says that only the certificates can't be had.
	ErrCertificates = errors.New("certificates")
)

// Paths names the files of a state directory.
type Paths struct{ Dir string }

func (p Paths) CA() string     { return filepath.Join(p.Dir, certs.CAFile) }   // what clients trust
func (p Paths) Cert() string   { return filepath.Join(p.Dir, certs.CertFile) } // the server's certificate
func (p Paths) Key() string    { return filepath.Join(p.Dir, certs.KeyFile) }  // the server's key
func (p Paths) Users() string  { return filepath.Join(p.Dir, "users") }        // names and verifiers
func (p Paths) Secret() string { return filepath.Join(p.Dir, "secret") }       // what mock challenges are made of
func (p Paths) Audit() string  { return filepath.Join(p.Dir, "audit.jsonl") }  // the interaction log

// Default is $XDG_STATE_HOME/sallyport if that is an absolute path, else ~/.local/state/sallyport, on
// macOS too; on Windows %LocalAppData%\sallyport.
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

// State is a directory that is ready to run from.
type State struct {
	Paths
	MockSecret []byte // 32 octets
	Warning    error  // what the operator should know of the files, nil for nothing
}

// Prepare makes what is missing in dir: the directory (mode 0700), the secret, an empty users file and
// the certificates for hosts as [certs.Ensure] does (all 0600). Several processes may call it at once.
// It refuses with [ErrDir] a directory that someone else owns or can write to, because what is in it
// may be theirs. With [ErrCertificates] the rest of the State is good, for who doesn't need them.
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

// exposed warns of a file that others than its owner can read or change.
func exposed(file string) error {
	info, err := os.Stat(file)
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	return fmt.Errorf("%s: others can get at it (mode %04o): chmod 600 it", file, info.Mode().Perm())
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
		return errors.New("it belongs to someone else: only its owner may run this")
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others can write to it (mode %04o): see that nobody did, then chmod 700 it", info.Mode().Perm())
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

// Lock takes the lock that a running server holds on its directory, until release or the end of the
// process. The error is [ErrInUse] if another holds it, and says which process: its id is in a file
// of its own, serve.pid, because Windows lets nobody read a locked one.
func (p Paths) Lock() (release func(), err error) {
	lock, pidFile := flock.New(filepath.Join(p.Dir, "serve.lock")), filepath.Join(p.Dir, "serve.pid")
	if ok, err := lock.TryLock(); err != nil {
		return nil, err
	} else if !ok {
		pid, _, _ := durable.Read(pidFile, 64)
		return nil, fmt.Errorf("%s: %w, as process %s: stop it, or choose another directory with --state",
			p.Dir, ErrInUse, strings.TrimSpace(string(pid)))
	}
	if err := durable.Write(pidFile, fmt.Appendln(nil, os.Getpid())); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return func() { _ = lock.Close() }, nil
}
