package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// change is one change of a user's password. Until it has ended the old password may be valid as well, and
// after one that failed both may be.
type change struct {
	password     string
	began, ended time.Time
	failed       bool
}

// accounts are the users of an act, with every password that each has had.
type accounts struct {
	bin, dir string

	mu      sync.Mutex
	changes map[string][]change
}

// probeUser is the user of the logins that must succeed. Its password never changes.
const probeUser = "probe"

func newAccounts(ctx context.Context, bin, dir string, r *rand.Rand, names []string) (*accounts, error) {
	a := &accounts{bin: bin, dir: dir, changes: map[string][]change{}}
	for _, name := range names {
		if err := a.set(ctx, r, "add", name); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// newPassword returns a password that nothing else in a log looks like.
func newPassword(r *rand.Rand) string { return fmt.Sprintf("pw-%016x", r.Uint64()) }

// set adds a user or changes a password.
func (a *accounts) set(ctx context.Context, r *rand.Rand, verb, name string) error {
	c := change{password: newPassword(r), began: time.Now()}
	a.mu.Lock()
	i := len(a.changes[name])
	a.changes[name] = append(a.changes[name], c)
	a.mu.Unlock()
	p, err := start(ctx, c.password+"\n", a.bin, "user", verb, name, "--state", a.dir, "--password-stdin", "--iterations", "4096")
	if err == nil {
		p.ended(30 * time.Second)
		if !p.cmd.ProcessState.Success() {
			err = fmt.Errorf("user %s %s: %v: %s", verb, name, p.cmd.ProcessState, p.err.String())
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changes[name][i].ended, a.changes[name][i].failed = time.Now(), err != nil
	return err
}

// current returns the latest password of a user, also while it is being changed. It is empty for a stranger.
func (a *accounts) current(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.changes[name]
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1].password
}

// former returns the password before the latest, or a wrong one.
func (a *accounts) former(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if all := a.changes[name]; len(all) > 1 {
		return all[len(all)-2].password
	}
	return "pw-never"
}

// validity says what a password was during a stretch of time.
type validity int

const (
	never  validity = iota // at no moment valid
	maybe                  // at some moment, perhaps
	always                 // all the time
)

// valid returns whether a password was valid during a span.
func (a *accounts) valid(name, password string, during span) validity {
	a.mu.Lock()
	defer a.mu.Unlock()
	return valid(a.changes[name], password, during)
}

func valid(changes []change, password string, during span) validity {
	// possible are the passwords that may be valid at some moment.
	possible, unsure := map[string]bool{}, false
	for _, c := range changes {
		switch {
		case during.until.Before(c.began):
		case c.failed || c.ended.IsZero():
			possible[c.password], unsure = true, true
		case c.ended.Before(during.from): // it was over before, and all others are void
			possible, unsure = map[string]bool{c.password: true}, false
		default:
			possible[c.password], unsure = true, true
		}
	}
	switch {
	case !possible[password]:
		return never
	case unsure || len(possible) > 1:
		return maybe
	}
	return always
}

// passwords returns every password that was ever valid.
func (a *accounts) passwords() (all []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, changes := range a.changes {
		for _, c := range changes {
			all = append(all, c.password)
		}
	}
	return all
}
