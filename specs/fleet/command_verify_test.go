package fleet

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/fleet"
)

// writeLog writes sessions to a log at path, a line for each user, and notes the head of each of them as a gate's.
func writeLog(t *testing.T, f *fleet.Fleet, path, gate string, users ...string) {
	t.Helper()
	l, err := audit.Open(path, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, user := range users {
		l.Info("session.close", "c").Str("user", user).Send()
		if err := l.SessionEnd(); err != nil {
			t.Fatal(err)
		}
		if f != nil {
			f.NoteHeads("psu", gate, func() (string, int64) { s := l.State(); return s.Head, s.Size }).Close()
		}
	}
}

func TestVerifyWithHeadsInEtcd(t *testing.T) {
	t.Parallel()
	e, dir := startEtcd(t), t.TempDir()
	f, c := e.open(), e.client()
	path := func(name string) string { return filepath.Join(dir, name) }
	writeLog(t, f, path("old"), id(1), "alice", "bob")
	whole, err := os.ReadFile(path("old"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	write := func(name, text string) {
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("log", string(whole))
	writeLog(t, f, path("log"), id(1), "carol") // more of it
	writeLog(t, nil, path("log"), id(1), "dave")
	write("cut", lines[0])
	write("edited", strings.Replace(string(whole), "alice", "allie", 1))
	writeLog(t, nil, path("forged"), id(1), "alice", "eve", "carol") // with a sound chain

	check := func(want int, says string, args ...string) {
		t.Helper()
		code, out := sallyport(t, "", append([]string{"log", "verify", "--fleet", e.url()}, args...)...)
		if code != want || !regexp.MustCompile(says).MatchString(out) {
			t.Errorf("%s: %d %s", args, code, out)
		}
	}
	check(0, `log: \d+ lines, with all 3 heads noted in etcd, the latest of \S+ in line \d+, head [0-9a-f]{64}\n$`, path("log"))
	check(1, `heads/psu/.*1/0000000000000000002: head [0-9a-f]{64} of \S+: it is in no line.*\n(?s:.*)cut: 1 line, 2 of 3 heads noted in etcd are not in it\n$`, path("cut"))
	check(1, `edited:1: chain mismatch`, path("edited"))
	check(1, `3 of 3 heads noted in etcd are not in it`, path("forged"))
	check(1, `no head is noted in etcd for this gate`, "--rig", "other", path("log"))
	check(1, `no head is noted in etcd for this gate`, "--gate", id(7), path("log"))
	check(2, `--head or --fleet`, "--head", strings.Repeat("a", 64), path("log"))

	// With several gates it must be said whose log it is.
	writeLog(t, f, path("other"), id(2), "alice")
	check(2, `heads of 2 gates are noted: choose one with --gate:\n  `+id(1)+` of psu, 3 heads, the latest of .*\n  `+id(2)+` of psu, 1 head, the latest of `, path("other"))
	check(0, `other: 1 line, with the only head noted in etcd, `, "--gate", id(2), path("other"))
	check(0, `all 3 heads`, "--rig", "psu", "--gate", id(1), path("log"))
	check(1, `3 of 3 heads`, "--gate", id(1), path("other"))

	// A head that was written again, or is none, is not noted.
	for _, value := range []string{"", "x"} {
		key := "lab/heads/psu/" + id(2) + "/0000000000000000001"
		if got, err := c.Get(t.Context(), key); err == nil && value == "" {
			value = string(got.Kvs[0].Value)
		}
		if _, err := c.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
		check(1, `: it was rewritten since|not a value of Sallyport's`, "--gate", id(2), path("other"))
	}
	if code, out := sallyport(t, "", "log", "verify", "--gate", id(1), path("log")); code != 2 || !strings.Contains(out, "go with --fleet") {
		t.Error(code, out)
	}
}
