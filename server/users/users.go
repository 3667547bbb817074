// Package users keeps the users who may log in: a text file with a line NAME:VERIFIER for each user. The
// verifier ([scram.Verifier.String]) replaces the password. Start with [Open], which returns the [Store] in
// which a server looks users up. An operator calls [Add], [SetPassword], [Remove] and [List]. A running
// server sees the changes at the next login.
//
// Names are stored as SASLprep prepares them (RFC 4013), with ":" as %3A, "%" as %25 and a leading "#" as
// %23. Blank lines, and lines that start with "#", are comments. A line has at most 8 KiB, the file 64 MiB.
// One CR at the end of a line and a byte order mark at the start are accepted, as editors on Windows write them.
// The file is a secret (RFC 5802 §9) and is written with mode 0600.
package users

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/state/durable"
)

const (
	maxLine = 8 << 10
	maxFile = 64 << 20

	// keepFor is the time for which the users of the last reading count while the file can't be read.
	keepFor = 10 * time.Minute
	// reportEvery is the time between two reports of a file that can't be read.
	reportEvery = time.Minute
)

// The reasons for a refusal, the fault of a line of the file, and that of a secret.
var (
	ErrExists = errors.New("users: the user exists already")
	ErrNoUser = errors.New("users: no such user")
	ErrName   = errors.New("users: the name is too long")
	ErrLine   = errors.New("users: the line is ignored")
	ErrSecret = errors.New("users: the secret has less than 32 bytes")
)

// Store looks users up in a file that may change at any time. It is safe for concurrent use.
type Store struct {
	path   string
	secret []byte
	report func(error)

	mu      sync.Mutex
	file    os.FileInfo // the state of the file before it was read
	settled bool        // a later change must differ from that state
	digest  [sha256.Size]byte
	users   map[string]scram.Verifier // replaced, never changed
	faults  []error                   // of the first hundred faulty lines
	failure error                     // why the last reading failed; nil if it did not
	failing time.Time                 // when the first of the latest failed readings was; zero if the last one succeeded
	told    time.Time                 // when a failure was last reported
	mock    *scram.Mock
}

// Open reads the file. secret is the key of the challenges for unknown names; it has at least 32 bytes, else
// the error is [ErrSecret]. After each change of the file the Store calls report for each of its first
// hundred faulty lines, with "FILE:LINE: reason" and [ErrLine]. If a Lookup can't read the file, it reports
// the error, once a minute. report must not use the Store. Nil means that nothing is reported.
func Open(path string, secret []byte, report func(error)) (*Store, error) {
	if len(secret) < 32 {
		return nil, ErrSecret
	}
	if report == nil {
		report = func(error) {}
	}
	s := &Store{path: path, secret: secret, report: report, mock: scram.NewMock(secret, nil)}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Lookup returns the verifier of a user, which the caller must not change. The name is the result of
// [scram.Prepare]. For an unknown name Lookup returns an invented verifier, and known is false. The time it
// takes depends neither on that nor on the number of users, except that Lookup first reads a file that has
// changed.
//
// While there is no file all names are unknown. While the file can't be read for another reason, the users of
// the last reading count for ten minutes. After that, and if there was none, the error for every name says why.
func (s *Store) Lookup(preparedName string) (v scram.Verifier, known bool, err error) {
	s.mu.Lock()
	if s.stale() {
		s.read()
	}
	users, mock := s.users, s.mock
	if users == nil {
		err = s.failure
	}
	s.mu.Unlock()
	madeUp := mock.Verifier(preparedName) // also for a known name, which must take as long
	if v, known = users[preparedName]; !known {
		v = madeUp
	}
	return v, known, err
}

// Faults returns an error for each of the first hundred faulty lines of the last reading ([ErrLine]).
func (s *Store) Faults() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults
}

// Reload reads the file even if it hasn't changed. An error is like one that [Store.Lookup] meets.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digest = [sha256.Size]byte{}
	return s.load()
}

// read reads the file and reports an error.
func (s *Store) read() {
	now := time.Now()
	if err := s.load(); err == nil {
		s.told = time.Time{}
	} else if now.Sub(s.told) >= reportEvery {
		s.told = now
		if s.users != nil && s.failure != nil {
			err = fmt.Errorf("%w: the users of the last reading count until %s", err, s.failing.Add(keepFor).Format(time.TimeOnly))
		}
		s.report(err)
	}
}

// failed notes that the file can't be read. A missing file has no users.
func (s *Store) failed(err error) {
	s.settled, s.failure = false, err
	if s.failing.IsZero() {
		s.failing = time.Now()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.users, s.digest, s.failing, s.failure = nil, [sha256.Size]byte{}, time.Time{}, nil
	case time.Since(s.failing) >= keepFor:
		s.users, s.digest = nil, [sha256.Size]byte{}
	}
}

// stale reports whether the file must be read again.
func (s *Store) stale() bool {
	info, err := os.Stat(s.path)
	return err != nil || !s.settled || !os.SameFile(info, s.file) ||
		!info.ModTime().Equal(s.file.ModTime()) || info.Size() != s.file.Size()
}

func (s *Store) load() error {
	now := time.Now()
	data, info, err := durable.Read(s.path, maxFile)
	if err != nil {
		s.failed(err)
		return err
	}
	// On the coarsest file systems a second change within two seconds can have the same time.
	s.file, s.settled = info, now.Sub(info.ModTime()).Abs() > 2*time.Second
	s.failure, s.failing = nil, time.Time{}
	digest := sha256.Sum256(data)
	if digest == s.digest {
		return nil
	}
	lines := parse(data)
	s.digest, s.users = digest, map[string]scram.Verifier{}
	for _, l := range lines {
		if l.valid() {
			s.users[l.name] = l.verifier
		}
	}
	s.mock = scram.NewMock(s.secret, slices.Collect(maps.Values(s.users)))
	s.faults = faults(s.path, lines)
	for _, err := range s.faults {
		s.report(err)
	}
	return nil
}

// Entry describes a user who can log in.
type Entry struct {
	// Name is the name as [scram.Prepare] returns it.
	Name string
	// Iterations is the number of PBKDF2 iterations.
	Iterations int
}

// Add adds a user. The error is [ErrExists], or one of [scram.Prepare] or [scram.NewVerifier]. Zero
// iterations mean [scram.DefaultIterations]. Like [SetPassword] and [Remove], Add holds the lock PATH.lock,
// replaces the file at once, and keeps all other lines.
func Add(path, name, password string, iterations int) error {
	return put(path, name, password, iterations, ErrExists)
}

// SetPassword replaces the verifier of a user. The error is [ErrNoUser], or one as from [Add].
func SetPassword(path, name, password string, iterations int) error {
	return put(path, name, password, iterations, ErrNoUser)
}

// Remove removes a user. The error is [ErrNoUser] if there is none.
func Remove(path, name string) error {
	prepared, err := scram.Prepare(name)
	if err != nil {
		return err
	}
	return edit(path, prepared, ErrNoUser)
}

// List returns the users in the order of the file. If lines are faulty it returns the other users, and an
// error that names the first hundred ([ErrLine]).
func List(path string) (entries []Entry, err error) {
	data, _, err := durable.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	lines := parse(data)
	for _, l := range lines {
		if l.valid() {
			entries = append(entries, Entry{l.name, l.verifier.Iterations})
		}
	}
	return entries, errors.Join(faults(path, lines)...)
}

// put makes the line of a user and adds it, or replaces the old one.
func put(path, name, password string, iterations int, refusal error) error {
	prepared, verifier, err := Make(name, password, iterations)
	if err != nil {
		return err
	}
	l := parseLine(escape(prepared) + ":" + verifier.String())
	if !l.valid() {
		return fmt.Errorf("users: no line of the file can hold this user: %s", l.fault)
	}
	return edit(path, prepared, refusal, l)
}

// Make returns what is stored of a user: the prepared name, and the verifier of the password. The errors are those
// of [Add], except for [ErrExists].
func Make(name, password string, iterations int) (prepared string, v scram.Verifier, err error) {
	if len(name) > scram.MaxName {
		return "", v, fmt.Errorf("%w: more than %d bytes", ErrName, scram.MaxName)
	}
	prepared, err = scram.Prepare(name)
	if err != nil {
		return "", v, fmt.Errorf("users: the name is %w", err)
	}
	if len(prepared) > scram.MaxName {
		return "", v, fmt.Errorf("%w: more than %d bytes after SASLprep", ErrName, scram.MaxName)
	}
	v, err = scram.NewVerifier(password, nil, iterations)
	if errors.Is(err, scram.ErrPrepare) {
		err = fmt.Errorf("users: the password is %w", err)
	}
	return prepared, v, err
}

// edit replaces all lines of a name. refusal is the error to return: [ErrExists] if the name has lines,
// [ErrNoUser] if it has none.
func edit(path, name string, refusal error, replacement ...line) error {
	release, err := durable.Lock(path + ".lock")
	if err != nil {
		return err
	}
	defer release()
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a symbolic link stays a link
	}
	data, _, err := durable.Read(path, maxFile)
	if err != nil {
		return err
	}
	lines := parse(data)
	named := func(l line) bool { return l.name == name }
	i := slices.IndexFunc(lines, named)
	if (i >= 0) == (refusal == ErrExists) {
		return fmt.Errorf("%q: %w", name, refusal)
	} else if i < 0 {
		i = len(lines)
	}
	rest := slices.DeleteFunc(lines[i:], named)
	data = format(slices.Concat(lines[:i], replacement, rest))
	if len(data) > maxFile {
		return fmt.Errorf("%w: %s", durable.ErrTooLarge, path)
	}
	return durable.Write(path, data)
}
