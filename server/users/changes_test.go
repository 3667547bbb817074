package users_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/state/durable"
	"github.com/sallyport/sallyport/server/users"
)

func TestChangesAreSeen(t *testing.T) {
	t.Parallel()
	first, second := verifier(t, 1), verifier(t, 2)
	one, two := "alice:"+first.String()+"\n", "alice:"+second.String()+"\n"
	when := time.Now().Add(-time.Hour)
	for how, change := range map[string]func(path string) error{
		"replaced, with the same time and size": func(path string) error {
			return errors.Join(os.WriteFile(path+"-new", []byte(two), 0o600), os.Chtimes(path+"-new", when, when), os.Rename(path+"-new", path))
		},
		"written in place, with another time": func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(two), 0o600), os.Chtimes(path, when, when.Add(time.Nanosecond*100)))
		},
		"written in place, with another size": func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(two+"\n"), 0o600), os.Chtimes(path, when, when))
		},
	} {
		path := newFile(t, one)
		noError(t, os.Chtimes(path, when, when))
		s, _ := open(t, path)
		knows(t, s, "alice", first)
		noError(t, change(path))
		if v, _, _ := s.Lookup("alice"); !v.Equal(second) {
			t.Errorf("%s: not seen", how)
		}
	}
}

// A change within the clock's granularity leaves the time as it is.
func TestQuickChangesAreSeen(t *testing.T) {
	t.Parallel()
	first, second := verifier(t, 1), verifier(t, 2)
	path := newFile(t, "alice:"+first.String()+"\n")
	when := time.Now()
	rewrite := func(v scram.Verifier, when time.Time) {
		t.Helper()
		noError(t, errors.Join(os.WriteFile(path, []byte("alice:"+v.String()+"\n"), 0o600), os.Chtimes(path, when, when)))
	}
	rewrite(first, when)
	s, _ := open(t, path)
	knows(t, s, "alice", first)
	rewrite(second, when)
	knows(t, s, "alice", second)

	// The control: a file that has been left alone isn't read again, until Reload.
	old := when.Add(-time.Hour)
	rewrite(second, old)
	knows(t, s, "alice", second)
	rewrite(first, old)
	knows(t, s, "alice", second)
	noError(t, s.Reload())
	knows(t, s, "alice", first)
}

func TestUnknownNames(t *testing.T) {
	t.Parallel()
	path := newFile(t, "alice:"+verifier(t, 1).String()+"\n")
	s, _ := open(t, path)
	again, _ := open(t, path)
	v, known, _ := s.Lookup("mallory")
	w, _, _ := again.Lookup("mallory")
	x, _, _ := s.Lookup("trudy")
	if known || !v.Equal(w) || v.Equal(x) || bytes.Equal(v.Salt, x.Salt) {
		t.Errorf("known %v, the same after a restart %v, for another name %v", known, v.Equal(w), v.Equal(x))
	}
	if real := verifier(t, 1); v.Iterations != real.Iterations || len(v.Salt) != len(real.Salt) {
		t.Errorf("%d iterations, salt of %d octets", v.Iterations, len(v.Salt))
	}
	for _, short := range [][]byte{nil, make([]byte, 31)} {
		if s, err := users.Open(path, short, nil); s != nil || !errors.Is(err, users.ErrSecret) {
			t.Errorf("with a secret of %d octets: %v", len(short), err)
		}
	}
}

func TestLookupWhileTheFileIsReplaced(t *testing.T) {
	t.Parallel()
	first, second := verifier(t, 1), verifier(t, 2)
	always := "always:" + first.String() + "\nalice:"
	path := newFile(t, always+first.String()+"\n")
	s, r := open(t, path)
	var stop atomic.Bool
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for !stop.Load() {
				if v, known, _ := s.Lookup("always"); !known || !v.Equal(first) {
					t.Error("a user who never changed was not found")
					return
				}
				if v, known, _ := s.Lookup("alice"); !known || !(v.Equal(first) || v.Equal(second)) {
					t.Error("a user was half changed")
					return
				}
				if _, known, _ := s.Lookup("mallory"); known {
					t.Error("a user who never was is known")
					return
				}
			}
		})
	}
	for i := range 50 {
		v := []scram.Verifier{first, second}[i%2]
		if err := durable.Write(path, []byte(always+v.String()+"\n")); err != nil {
			t.Error(err)
		}
		knows(t, s, "alice", v)
	}
	stop.Store(true)
	group.Wait()
	if all := r.take(); len(all) > 0 {
		t.Errorf("reported: %v", all)
	}
}

func TestConcurrentEditsLoseNothing(t *testing.T) {
	t.Parallel()
	path := newFile(t, "")
	var group sync.WaitGroup
	var refused atomic.Int32
	for i := range 16 {
		group.Go(func() {
			err := users.Add(path, fmt.Sprint("user", i/2), "pencil", scram.MinIterations)
			if errors.Is(err, users.ErrExists) {
				refused.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if entries, err := users.List(path); err != nil || len(entries) != 8 || refused.Load() != 8 {
		t.Errorf("%d users, %d refused, %v", len(entries), refused.Load(), err)
	}
}
