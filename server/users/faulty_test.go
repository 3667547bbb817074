package users_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/users"
)

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
		"carol:" + v + "\r\r",
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
	noError(t, users.SetPassword(path, "twice", "pencil", scram.MinIterations))
	if _, known, _ := s.Lookup("twice"); !known {
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
	noError(t, os.Remove(path))
	for range 3 {
		ignores(t, s, "alice")
	}
	if all := r.take(); len(all) != 1 || !strings.Contains(all[0], path) {
		t.Errorf("for the missing file: %v", all)
	}
}
