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
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/state/durable"
	"github.com/sallyport/sallyport/server/users"
)

var secret = bytes.Repeat([]byte{7}, 32)

// verifier is one for the password "pencil", which differs with n.
func verifier(t testing.TB, n int) scram.Verifier {
	t.Helper()
	v, err := scram.NewVerifier("pencil", fmt.Appendf(nil, "salt %08d", n), scram.MinIterations)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newFile(t testing.TB, contents string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(contents), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// age makes a file look as if it had not been changed lately.
func age(t testing.TB, path string) {
	t.Helper()
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
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
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

func knows(t testing.TB, s *users.Store, name string, want scram.Verifier) {
	t.Helper()
	if v, known := s.Lookup(name); !known || !v.Equal(want) {
		t.Errorf("%q: known %v, and the verifier is right: %v", name, known, v.Equal(want))
	}
}

func ignores(t testing.TB, s *users.Store, name string) {
	t.Helper()
	if _, known := s.Lookup(name); known {
		t.Errorf("%q is known", name)
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
		if _, known := s.Lookup(prepared); !known {
			t.Errorf("%q is not known", prepared)
		}
	}
	entries, err := users.List(path)
	if err != nil {
		t.Fatal(err)
	}
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
		if err := users.Add(path, name, "pencil", scram.MinIterations); err != nil {
			t.Fatal(err)
		}
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
		v, known := s.Lookup("alice")
		want, err := scram.NewVerifier(password, v.Salt, iterations)
		if err != nil || !known || !v.Equal(want) || len(v.Salt) != 16 {
			t.Errorf("known %v, %d iterations, salt of %d octets, %v", known, v.Iterations, len(v.Salt), err)
		}
	}
	if err := users.Add(path, "alice", "pencil", 0); err != nil {
		t.Fatal(err)
	}
	check("pencil", 15000)
	first, _ := s.Lookup("alice")
	if err := users.SetPassword(path, "alice", "rubber", 5000); err != nil {
		t.Fatal(err)
	}
	check("rubber", 5000)
	if second, _ := s.Lookup("alice"); bytes.Equal(first.Salt, second.Salt) {
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
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), ".users.tmp-123"), []byte("half a li"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		users.Add(path, "alice", "pencil", scram.MinIterations),
		users.SetPassword(path, "alice", "rubber", scram.MinIterations),
		users.Remove(path, "alice"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(keep+"\n", string(after)); diff != "" {
		t.Error(diff)
	}
}

func TestFaultyLines(t *testing.T) {
	t.Parallel()
	good, other := verifier(t, 1), verifier(t, 2)
	v := good.String()
	lines := []string{
		"alice:" + v, // 1
		"no colon",
		"bob:" + v[:len(v)-1],
		"a%3a:" + v,
		"a%41:" + v, // 5
		"a%:" + v,
		"a%23:" + v,
		"Ⅸ:" + v,
		":" + v,
		"a\xff:" + v, // 10
		"carol:" + v + "\r",
		"carol2:" + v + " ",
		strings.Repeat("x", 8193) + ":" + v,
		"twice:" + v,
		"thrice:" + v, // 15
		"twice:" + other.String(),
		"thrice:" + v,
		"thrice:junk",
		"weak:" + strings.Replace(v, "$4096:", "$4095:", 1),
		"strong:" + strings.Replace(v, "$4096:", "$1000001:", 1), // 20
		"# comment:" + v,
		"zoe:" + other.String(),
	}
	path := newFile(t, strings.Join(lines, "\n"))
	s, r := open(t, path)
	knows(t, s, "alice", good)
	knows(t, s, "zoe", other)
	for _, name := range []string{"bob", "a", "a:", "aA", "a%", "a#", "Ⅸ", "IX", "", "carol", "twice", "thrice", "weak", "strong", "# comment", " comment", strings.Repeat("x", 8193)} {
		ignores(t, s, name)
	}
	var numbers []int
	for _, text := range r.take() {
		var n int
		rest, ok := strings.CutPrefix(text, path+":")
		if _, err := fmt.Sscanf(rest, "%d: ", &n); err != nil || !ok {
			t.Errorf("reported as %q", text)
		}
		if strings.Contains(text, "SCRAM-SHA-256$") || strings.Contains(text, v[24:]) {
			t.Error("a report quotes a verifier")
		}
		numbers = append(numbers, n)
	}
	want := []int{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}
	if diff := cmp.Diff(want, numbers); diff != "" {
		t.Error(diff)
	}
	entries, err := users.List(path)
	if !errors.Is(err, users.ErrLine) || !strings.Contains(err.Error(), path+":2: ") {
		t.Errorf("List: %v", err)
	}
	if diff := cmp.Diff([]users.Entry{{"alice", 4096}, {"zoe", 4096}}, entries); diff != "" {
		t.Error(diff)
	}
	if err := users.SetPassword(path, "twice", "pencil", scram.MinIterations); err != nil {
		t.Fatal(err)
	}
	if _, known := s.Lookup("twice"); !known {
		t.Error("a new password doesn't mend a name with several lines")
	}
}

func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	s, r := open(t, newFile(t, strings.Repeat("junk\n", 1000)+"alice:"+verifier(t, 1).String()+"\n"))
	if n := len(r.take()); n != 100 {
		t.Errorf("%d reports", n)
	}
	knows(t, s, "alice", verifier(t, 1))
}

func TestReportsComeOncePerChange(t *testing.T) {
	t.Parallel()
	path := newFile(t, "junk\n")
	s, r := open(t, path)
	for range 3 { // the file is so young that it is read each time
		ignores(t, s, "alice")
	}
	if diff := cmp.Diff(1, len(r.take())); diff != "" {
		t.Errorf("faulty lines: %s", diff)
	}
	if err := s.Reload(); err != nil || len(r.take()) != 1 {
		t.Errorf("not reported again by Reload: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ignores(t, s, "alice")
	}
	if all := r.take(); len(all) != 1 || !strings.Contains(all[0], path) {
		t.Errorf("for the missing file: %v", all)
	}
}

func TestAFileThatCannotBeReadLetsNobodyIn(t *testing.T) {
	t.Parallel()
	v := verifier(t, 1)
	path := newFile(t, "alice:"+v.String()+"\n")
	age(t, path)
	s, r := open(t, path)
	knows(t, s, "alice", v)
	if err := os.Rename(path, path+"-away"); err != nil {
		t.Fatal(err)
	}
	mock, known := s.Lookup("alice")
	if known || mock.Equal(v) || len(mock.Salt) == 0 {
		t.Errorf("known %v", known)
	}
	if err := s.Reload(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Reload: %v", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	ignores(t, s, "alice")
	if err := errors.Join(os.Remove(path), os.Rename(path+"-away", path)); err != nil {
		t.Fatal(err)
	}
	knows(t, s, "alice", v)
	if all := r.take(); len(all) != 2 {
		t.Errorf("reported: %v", all)
	}
	if err := os.Truncate(path, 64<<20+1); err != nil {
		t.Fatal(err)
	}
	ignores(t, s, "alice")
	if _, err := users.Open(path, secret, nil); !errors.Is(err, durable.ErrTooLarge) {
		t.Errorf("a huge file: %v", err)
	}
	if s, err := users.Open(path+"-none", secret, nil); s != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening a missing file: %v", err)
	}
}

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
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
		s, _ := open(t, path)
		knows(t, s, "alice", first)
		if err := change(path); err != nil {
			t.Fatal(err)
		}
		if v, _ := s.Lookup("alice"); !v.Equal(second) {
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
		if err := errors.Join(os.WriteFile(path, []byte("alice:"+v.String()+"\n"), 0o600), os.Chtimes(path, when, when)); err != nil {
			t.Fatal(err)
		}
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
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	knows(t, s, "alice", first)
}

func TestUnknownNames(t *testing.T) {
	t.Parallel()
	path := newFile(t, "alice:"+verifier(t, 1).String()+"\n")
	s, _ := open(t, path)
	again, _ := open(t, path)
	v, known := s.Lookup("mallory")
	w, _ := again.Lookup("mallory")
	x, _ := s.Lookup("trudy")
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
				if v, known := s.Lookup("always"); !known || !v.Equal(first) {
					t.Error("a user who never changed was not found")
					return
				}
				if v, known := s.Lookup("alice"); !known || !(v.Equal(first) || v.Equal(second)) {
					t.Error("a user was half changed")
					return
				}
				if _, known := s.Lookup("mallory"); known {
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
