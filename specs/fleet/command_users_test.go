package fleet

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestUserCommands(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	u := e.open().OpenUsers(filepath.Join(t.TempDir(), "copy"))
	defer u.Close()
	for _, c := range []struct {
		args, stdin string
		code        int
		says        string // a regexp of what it prints
	}{
		{"user list --fleet URL", "", 0, `^$`},
		{"user add --fleet URL --password-stdin --iterations 4096 alice", "pw\n", 0, `^added alice, at each gate that serves with --users fleet\n$`},
		{"user add --fleet URL --password-stdin alice", "pw\n", 1, `"alice": the user exists already; change it with: .* user passwd alice --fleet URL\n`},
		{"user passwd --fleet URL --password-stdin bob", "pw\n", 1, `"bob": no such user; add it with: .* user add bob --fleet URL\n`},
		{"user passwd --fleet URL --password-stdin --iterations 5000 alice", "pw\n", 0, `^$`},
		{"user list --fleet URL", "", 0, `^alice  5000 iterations\n$`},
		{"__complete user remove --fleet URL ", "", 0, `^alice\n`},
		{"user remove --fleet URL bob", "", 1, `"bob": no such user`},
		{"user remove --fleet URL alice", "", 0, `^removed alice: no gate that reaches etcd lets this user in again; .* evict --user alice ends it`},
		{"user list --fleet URL", "", 0, `^$`},
		{"user list --fleet http://a:1", "", 2, `"http://a:1" is not etcd://HOST:PORT`},
	} {
		args := strings.Split(strings.ReplaceAll(c.args, "URL", e.url()), " ")
		code, out := sallyport(t, c.stdin, args...)
		out = strings.ReplaceAll(out, e.url(), "URL")
		if code != c.code || !regexp.MustCompile(c.says).MatchString(out) {
			t.Errorf("%s: %d %s", c.args, code, out)
		}
	}
	if files, err := os.ReadDir(stateHome(t)); err == nil && len(files) > 0 {
		t.Error("a state directory was made", files)
	}
}

func TestUserCommandsWithoutEtcd(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"user add --fleet etcd://127.0.0.1:1 alice", "user list --fleet etcd://127.0.0.1:1"} {
		code, out := sallyport(t, "", strings.Split(args, " ")...)
		if code != 3 || !strings.HasSuffix(out, "etcd does not answer: 127.0.0.1:1: connect: connection refused\n") || strings.Count(out, "\n") != 1 {
			t.Error(args, code, out)
		}
	}
}

// TestVariableMovesNoUsers sees that a variable for clients does not change where users are kept.
func TestVariableMovesNoUsers(t *testing.T) {
	t.Parallel()
	cmd := prepared(t.Context(), t, "user", "list", "--state", t.TempDir())
	cmd.Env = append(cmd.Env, "SALLYPORT_FLEET=etcd://127.0.0.1:1")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v %s", err, out)
	}
}
