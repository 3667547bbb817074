package backend

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestOnlyRootNamesAUser also covers the server's own user, because only root may set the groups of a command.
func TestOnlyRootNamesAUser(t *testing.T) {
	if os.Geteuid() == 0 {
		if err := syscall.Setresuid(-1, 65534, -1); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Setresuid(-1, 0, -1) }()
	}
	self, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if err != nil {
		t.Skip(err)
	}
	for _, name := range []string{"root", self.Username} {
		_, err := Parse("exec:true", Options{User: name})
		if err == nil || !strings.Contains(err.Error(), "only root can run commands as "+strconv.Quote(name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCommandIsAnotherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start one")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	groups, err := nobody.GroupIds()
	if err != nil {
		t.Fatal(err)
	}
	ofServer, err := syscall.Getgroups()
	if err := errors.Join(err, syscall.Setgroups([]int{0, 4})); err != nil { // 4 can read the logs of the machine
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setgroups(ofServer) }()
	for _, spec := range []string{"exec:", "pty:"} {
		const script = `id -u; id -g; id -G; echo $HOME; echo $PATH; pwd; : </dev/stdin && : >/dev/stdout && echo reopened`
		stream, _ := run(t, spec+script, Options{User: "nobody"})
		want := strings.Join([]string{
			nobody.Uid, nobody.Gid, strings.Join(groups, " "), nobody.HomeDir, otherPath, "/", "reopened", "",
		}, "\n")
		if got := strings.ReplaceAll(rest(t, stream), "\r", ""); got != want {
			t.Errorf("%s\n%s\nwant\n%s", spec, got, want)
		}
	}
}
