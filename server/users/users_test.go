package users_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/users"
)

var secret = bytes.Repeat([]byte{7}, 32)

// verifier is one for the password "pencil", which differs with n.
func verifier(t testing.TB, n int) scram.Verifier {
	t.Helper()
	v, err := scram.NewVerifier("pencil", fmt.Appendf(nil, "salt %08d", n), scram.MinIterations)
	noError(t, err)
	return v
}

func newFile(t testing.TB, contents string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	noError(t, os.WriteFile(path, []byte(contents), 0o600))
	return path
}

// reports collects what a Store reports.
type reports struct {
	mu  sync.Mutex
	all []string
}

func (r *reports) add(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, err.Error())
}

// take returns what was reported since the last time.
func (r *reports) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

func open(t testing.TB, path string) (*users.Store, *reports) {
	t.Helper()
	r := new(reports)
	s, err := users.Open(path, secret, r.add)
	noError(t, err)
	return s, r
}

func knows(t testing.TB, s *users.Store, name string, want scram.Verifier) {
	t.Helper()
	if v, known, err := s.Lookup(name); !known || !v.Equal(want) || err != nil {
		t.Errorf("%q: known %v, and the verifier is right: %v, %v", name, known, v.Equal(want), err)
	}
}

func ignores(t testing.TB, s *users.Store, name string) {
	t.Helper()
	if _, known, err := s.Lookup(name); known || err != nil {
		t.Errorf("%q: known %v, %v", name, known, err)
	}
}

func TestOddNamesComeBack(t *testing.T) {
	t.Parallel()
	path := newFile(t, "")
	s, r := open(t, path)
	names := map[string]string{ // as given, as prepared
		"alice": "alice", "a:b": "a:b", "100%": "100%", "%3A": "%3A", "#x": "#x", "x#y": "x#y", " ": " ", " a b ": " a b ",
		" #z": " #z", "a,b=c": "a,b=c", "Ⅸ": "IX", "I\u00adI": "II", "a\u00a0b": "a b", "пользователь": "пользователь", ":": ":", "#": "#",
	}
	want := map[string]int{}
	for given, prepared := range names {
		if err := users.Add(path, given, "pencil", scram.MinIterations); err != nil {
			t.Fatalf("%q: %v", given, err)
		}
		want[prepared] = scram.MinIterations
		if _, known, _ := s.Lookup(prepared); !known {
			t.Errorf("%q is not known", prepared)
		}
	}
	entries, err := users.List(path)
	noError(t, err)
	got := map[string]int{}
	for _, e := range entries {
		got[e.Name] = e.Iterations
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if all := r.take(); len(all) > 0 {
		t.Errorf("reported: %v", all)
	}
	for given, prepared := range names {
		if err := users.Remove(path, given); err != nil {
			t.Errorf("%q: %v", given, err)
		}
		ignores(t, s, prepared)
	}
	if data, err := os.ReadFile(path); err != nil || len(data) != 0 {
		t.Errorf("left: %q, %v", data, err)
	}
}

func TestEscapes(t *testing.T) {
	t.Parallel()
	path := newFile(t, "")
	for _, name := range []string{"#a:b%#", "b"} {
		noError(t, users.Add(path, name, "pencil", scram.MinIterations))
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(data), "%23a%3Ab%25#:SCRAM-SHA-256$4096:") || !strings.Contains(string(data), "\nb:SCRAM-SHA-256$4096:") {
		t.Error("the file is not as documented")
	}
}

func TestAddedUserHasThePassword(t *testing.T) {
	t.Parallel()
	path := newFile(t, "")
	s, _ := open(t, path)
	check := func(password string, iterations int) {
		t.Helper()
		v, known, _ := s.Lookup("alice")
		want, err := scram.NewVerifier(password, v.Salt, iterations)
		if err != nil || !known || !v.Equal(want) || len(v.Salt) != 16 {
			t.Errorf("known %v, %d iterations, salt of %d octets, %v", known, v.Iterations, len(v.Salt), err)
		}
	}
	noError(t, users.Add(path, "alice", "pencil", 0))
	check("pencil", 15000)
	first, _, _ := s.Lookup("alice")
	noError(t, users.SetPassword(path, "alice", "rubber", 5000))
	check("rubber", 5000)
	if second, _, _ := s.Lookup("alice"); bytes.Equal(first.Salt, second.Salt) {
		t.Error("the salt was used twice")
	}
	if info, err := os.Stat(path); err != nil || (runtime.GOOS != "windows" && info.Mode() != 0o600) {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestEditingRefuses(t *testing.T) {
	t.Parallel()
	before := "IX:" + verifier(t, 1).String() + "\nbad:SCRAM-SHA-256$junk\n"
	path := newFile(t, before)
	for _, c := range []struct {
		what string
		err  error
		is   error
	}{
		{"adding one twice", users.Add(path, "IX", "pencil", 0), users.ErrExists},
		{"adding another spelling", users.Add(path, "Ⅸ", "pencil", 0), users.ErrExists},
		{"adding one whose line is faulty", users.Add(path, "bad", "pencil", 0), users.ErrExists},
		{"changing nobody", users.SetPassword(path, "x", "pencil", 0), users.ErrNoUser},
		{"removing nobody", users.Remove(path, "x"), users.ErrNoUser},
		{"too few iterations", users.Add(path, "x", "pencil", 4095), scram.ErrVerifier},
		{"too many iterations", users.Add(path, "x", "pencil", 1_000_001), scram.ErrVerifier},
		{"an empty name", users.Add(path, "", "pencil", 0), scram.ErrPrepare},
		{"a name with a line end", users.Add(path, "x\ny", "pencil", 0), scram.ErrPrepare},
		{"a name that is not UTF-8", users.SetPassword(path, "x\xff", "pencil", 0), scram.ErrPrepare},
		{"removing such a name", users.Remove(path, "x\x00"), scram.ErrPrepare},
		{"a name that no login can have", users.Add(path, strings.Repeat("x", 256), "pencil", 0), users.ErrName},
		{"an empty password", users.Add(path, "x", "", 0), scram.ErrPrepare},
		{"a name that is too long", users.Add(path, strings.Repeat("x", 8192), "pencil", scram.MinIterations), nil},
		{"a missing file", users.Add(path+"-none", "x", "pencil", scram.MinIterations), fs.ErrNotExist},
	} {
		if c.err == nil || (c.is != nil && !errors.Is(c.err, c.is)) {
			t.Errorf("%s: %v", c.what, c.err)
		} else if strings.Contains(c.err.Error(), "pencil") {
			t.Errorf("%s: the error quotes the password", c.what)
		}
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != before {
		t.Errorf("the file changed, %v", err)
	}
	if _, err := users.List(path + "-none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("listing a missing file: %v", err)
	}
}

func TestEditingKeepsOtherLines(t *testing.T) {
	t.Parallel()
	keep := "# the night shift\n\n  \ncorrupt line\n%zz:x\nbob:" + verifier(t, 2).String() + "\n#x:y"
	path := newFile(t, keep)
	noError(t, os.WriteFile(filepath.Join(filepath.Dir(path), ".users.tmp-123"), []byte("half a li"), 0o600))
	for _, err := range []error{
		users.Add(path, "alice", "pencil", scram.MinIterations),
		users.SetPassword(path, "alice", "rubber", scram.MinIterations),
		users.Remove(path, "alice"),
	} {
		noError(t, err)
	}
	after, err := os.ReadFile(path)
	noError(t, err)
	if diff := cmp.Diff(keep+"\n", string(after)); diff != "" {
		t.Error(diff)
	}
}

func noError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
