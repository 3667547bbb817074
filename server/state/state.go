// Package state keeps the state directory of a server: its certificates, its users, the key of mock
// challenges, and the interaction log. Start with [Prepare], which makes missing files. [Paths.Lock] keeps a
// second server out of the directory. [Default] returns the place of the directory if the operator chooses
// none.
package state

import (
	"cmp"
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
	// ErrDir means that a directory can't be the state directory, or must not be.
	ErrDir = errors.New("state: can't use the directory")
	// ErrInUse means that a server runs on the directory.
	ErrInUse = errors.New("state: a server runs on the directory")
	// ErrSecret means that the file secret is not as Prepare wrote it.
	ErrSecret = errors.New("state: not 64 hex digits: remove the file to get a new secret (it changes the challenges for unknown names)")
	// ErrGateID means that the file gate is not as GateID wrote it.
	ErrGateID = errors.New("state: not 32 hex digits: remove the file to become another gate of the fleet")
	// ErrCertificates means that only the certificates could not be prepared.
	ErrCertificates = errors.New("state: the certificates can't be prepared")
)

// secretSize is the size of the key of mock challenges, in bytes.
const secretSize = 32

// Paths names the files of a state directory.
type Paths struct {
	// Dir is the directory.
	Dir string
	// Logs is the directory of the interaction log and of the record of a console. Empty means Dir.
	Logs string
}

// CA is the certificate of the CA, which clients trust. Cert and Key are the server's own. Users holds names
// and verifiers, Secret the key of mock challenges, and Audit the interaction log.
func (p Paths) CA() string     { return filepath.Join(p.Dir, certs.CAFile) }
func (p Paths) Cert() string   { return filepath.Join(p.Dir, certs.CertFile) }
func (p Paths) Key() string    { return filepath.Join(p.Dir, certs.KeyFile) }
func (p Paths) Users() string  { return filepath.Join(p.Dir, "users") }
func (p Paths) Secret() string { return filepath.Join(p.Dir, "secret") }
func (p Paths) Audit() string  { return filepath.Join(cmp.Or(p.Logs, p.Dir), "audit.jsonl") }

// Console is the record of what a backend says that is kept open.
func (p Paths) Console() string { return filepath.Join(cmp.Or(p.Logs, p.Dir), "console.log") }

// FleetUsers is the copy of the users in etcd, see package fleet.
func (p Paths) FleetUsers() string { return filepath.Join(p.Dir, "fleet-users") }

// Control is the operator's socket, see package control.
func (p Paths) Control() string { return filepath.Join(p.Dir, "control.sock") }

// Default returns $XDG_STATE_HOME/sallyport if that is an absolute path, else ~/.local/state/sallyport, also
// on macOS. On Windows it returns %LocalAppData%\sallyport.
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

// State is a directory that is ready for use.
type State struct {
	Paths
	// MockSecret is the key of mock challenges. It has 32 bytes.
	MockSecret []byte
	// Warning is for the operator: a file is exposed, or a certificate ends soon. Nil means no warning.
	Warning error
}

// Prepare prepares dir, see [Paths.Prepare].
func Prepare(dir string, hosts []string, now time.Time) (State, error) {
	return Paths{Dir: dir}.Prepare(hosts, now)
}

// Prepare makes missing files: the directories themselves (mode 0700), the secret, an empty users file, and
// the certificates for hosts as [certs.Ensure] does (all 0600). Several processes may call it at once.
//
// The error is [ErrDir] if someone else owns a directory or can write to it, because someone else may then
// have put the files there. Beside [ErrCertificates] the rest of the State is valid, for callers that need no
// certificates.
func (p Paths) Prepare(hosts []string, now time.Time) (State, error) {
	s, dir := State{Paths: p}, p.Dir
	for _, dir := range []string{p.Dir, cmp.Or(p.Logs, p.Dir)} {
		if err := prepareDir(dir); err != nil {
			return s, fmt.Errorf("%w %s: %w", ErrDir, dir, err)
		}
	}
	f, err := os.OpenFile(s.Users(), os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return s, err
	}
	f.Close()
	if s.MockSecret, err = ensureRandom(s.Secret(), secretSize, ErrSecret); err != nil {
		return s, err
	}
	if s.Warning, err = certs.Ensure(dir, hosts, now); err != nil {
		err = fmt.Errorf("%w: %w", ErrCertificates, err)
	}
	s.Warning = errors.Join(s.Warning, exposed(s.Users()), exposed(s.Secret()), exposed(s.FleetUsers()), exposed(s.Audit()))
	return s, err
}

// exposed returns a warning if others than the owner of a file can read or change it.
func exposed(file string) error {
	info, err := os.Stat(file)
	if err != nil || runtime.GOOS == "windows" || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	return fmt.Errorf("state: others can read or change %s (mode %04o): chmod 600 it", file, info.Mode().Perm())
}

// prepareDir makes the directory, or checks that nobody else can have changed it.
func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return checkDir(dir)
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return errors.New("it is no directory")
	case !ownedByUs(info):
		return errors.New("it belongs to another user of this machine")
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others can write to it (mode %04o): check its files, then chmod 700 it", info.Mode().Perm())
	}
	return nil
}

// GateID returns the id of this gate in a fleet, 32 random hex digits. It makes the file gate if that is missing.
func (p Paths) GateID() (string, error) {
	id, err := ensureRandom(filepath.Join(p.Dir, "gate"), 16, ErrGateID)
	return hex.EncodeToString(id), err
}

// ensureRandom reads random bytes, or makes the file with them if it is missing. Other contents are the error bad.
func ensureRandom(file string, size int, bad error) ([]byte, error) {
	release, err := durable.Lock(file + ".lock")
	if err != nil {
		return nil, err
	}
	defer release()
	random, err := readRandom(file, size, bad)
	if errors.Is(err, fs.ErrNotExist) {
		random := make([]byte, size)
		rand.Read(random) // never fails
		return random, durable.Write(file, []byte(hex.EncodeToString(random)+"\n"))
	}
	return random, err
}

func readRandom(file string, size int, bad error) ([]byte, error) {
	text, _, err := durable.Read(file, 1024)
	random, unfit := hex.DecodeString(strings.TrimSpace(string(text)))
	if err == nil && (unfit != nil || len(random) != size) {
		err = fmt.Errorf("%s: %w", file, bad)
	}
	return random, err
}

// Lock takes the lock of a running server on its directory, until release or the end of the process. The
// error is [ErrInUse] if another process has the lock, and names its id. The id is in a separate file,
// serve.pid, because on Windows no other process can read a locked file.
func (p Paths) Lock() (release func(), err error) {
	lock, pidFile := flock.New(filepath.Join(p.Dir, "serve.lock")), filepath.Join(p.Dir, "serve.pid")
	if ok, err := lock.TryLock(); err != nil {
		return nil, err
	} else if !ok {
		pid, _, _ := durable.Read(pidFile, 64)
		return nil, fmt.Errorf("%w %s, as process %s", ErrInUse, p.Dir, strings.TrimSpace(string(pid)))
	}
	if err := durable.Write(pidFile, fmt.Appendln(nil, os.Getpid())); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return func() { _ = lock.Close() }, nil
}

// Locked reports whether a server runs on the directory.
func (p Paths) Locked() bool {
	lock := flock.New(filepath.Join(p.Dir, "serve.lock"), flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryRLock()
	_ = lock.Close()
	return err == nil && !free
}
