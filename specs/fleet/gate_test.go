package fleet

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestServeRefusesFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"--fleet-seat", "--advertise and --fleet-seat go with --fleet"},
		{"--advertise a:1", "--advertise and --fleet-seat go with --fleet"},
		{"--rig a", "--rig and --tag go with --fleet"},
		{"--tag board=imx8", "--rig and --tag go with --fleet"},
		{"--fleet-ca x", "--fleet-ca, --fleet-cert and --fleet-key go with --fleet"},
		{"--fleet etcd://127.0.0.1:1", "--fleet needs --rig"},
		{"--fleet http://127.0.0.1:1 --rig a", "is not etcd://"},
		{"--fleet etcd://10.0.0.1:1 --rig a", "--fleet-ca"},
		{"--fleet etcd://127.0.0.1:1 --rig a/b", "is no name of a rig"},
		{"--fleet etcd://127.0.0.1:1 --rig a --tag imx8", "KEY=VALUE"},
		{"--fleet etcd://127.0.0.1:1 --rig a --listen :0", "say with --advertise HOST:PORT"},
		{"--fleet etcd://127.0.0.1:1 --rig a --advertise nowhere", "--advertise is the HOST:PORT"},
		{"--fleet etcd://127.0.0.1:1 --rig a --advertise 0.0.0.0:7443", "--advertise is the HOST:PORT"},
		{"--fleet etcd://127.0.0.1:1 --rig a --fleet-seat --vanish-timeout 11s", "--vanish-timeout is at most 10s"},
	} {
		code, out := sallyport(t, "", append([]string{"serve", "--check"}, strings.Fields(c.args)...)...)
		if code != 2 || !strings.Contains(out, c.want) || strings.Count(strings.TrimSpace(out), "\n") > 1 {
			t.Errorf("%s: code %d, %s", c.args, code, out)
		}
	}
}

// A rig and tags in the environment are for clients, and stop no gate that is not in a fleet.
func TestServeIgnoresTheRigOfClients(t *testing.T) {
	t.Setenv("SALLYPORT_RIG", "a")
	t.Setenv("SALLYPORT_TAG", "board=imx8,arch=arm64")
	if code, out := sallyport(t, "", "serve", "--check", "--state", filepath.Join(stateHome(t), "state")); code != 0 {
		t.Errorf("code %d, %s", code, out)
	}
}

// Two gates with one name share the seat, or the second one does not start.
func TestServeSharesTheSeat(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	one, two := filepath.Join(stateHome(t), "one"), filepath.Join(stateHome(t), "two")
	addUser(t, one)
	addUser(t, two)
	a := e.serve(one, "--rig", "scope", "--fleet-seat", "--backend", "exec:echo $SALLYPORT_TOKEN; cat")
	code, out := sallyport(t, "", "serve", "--listen", "127.0.0.1:0", "--state", filepath.Join(stateHome(t), "three"), "--fleet", e.url(), "--rig", "scope")
	if code != 1 || !strings.Contains(out, "--fleet-seat") || strings.Contains(out, "listening on") {
		t.Errorf("code %d, %s", code, out)
	}
	b := e.serve(two, "--rig", "scope", "--fleet-seat")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	holder := prepared(t.Context(), t, "connect", "--state", one, "--addr", a.addr, "--user", "alice", "--password-file", password, "--open")
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	first, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	token := make([]byte, 64)
	n, err := first.Read(token)
	if err != nil || strings.Trim(string(token[:n]), "0123456789\n") != "" || n < 2 {
		t.Errorf("the token is %q, %v", token[:n], err)
	}
	if code, out := b.asks("--no-wait", "WHOAMI"); code != 5 || !strings.Contains(out, "alice has had the seat since ") {
		t.Errorf("code %d, %s", code, out)
	}
	for _, says := range []struct {
		code int
		want string
		args []string
	}{
		{5, `^seat +taken by alice, at the gate ` + a.addr + `, since `, []string{"status", "--state", two}},
		{5, `"holder_at": "` + a.addr + `",\s+"holder_since": `, []string{"status", "--json", "--state", two}},
		{5, `^seat +taken by alice, since `, []string{"status", "--state", two, "--addr", b.addr, "--user", "alice", "--password-file", password}},
		{5, `^seat +taken by alice, from `, []string{"status", "--state", one}},
		{1, `^sallyport evict: the seat is free here: alice has the shared seat at the gate ` + a.addr + `, so evict there\n$`, []string{"evict", "--state", two}},
		{1, ` alice has the shared seat at the gate ` + a.addr, []string{"evict", "--user", "alice", "--state", two}},
	} {
		if code, out := sallyport(t, "", says.args...); code != says.code || !regexp.MustCompile(says.want).MatchString(out) {
			t.Errorf("%s: %d %s", says.args, code, out)
		}
	}
	row := regexp.MustCompile(`(?m)^scope  \S+  alice   (\d\S+ \S+)  0 `)
	eventually(t, "both rows of the directory are the same", func() bool {
		_, out := sallyport(t, "", "rigs", "--fleet", e.url())
		rows := row.FindAllStringSubmatch(out, -1)
		return len(rows) == 2 && rows[0][1] == rows[1][1]
	})
	_ = in.Close()
	_ = holder.Wait()
	if code, out := b.asks("WHOAMI"); code != 0 || !strings.Contains(out, "alice") {
		t.Errorf("code %d, %s", code, out)
	}
	e.stop()
	for late := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		_, out := sallyport(t, "", "status", "--state", two)
		if strings.Contains(out, "NOT IN THE DIRECTORY since ") {
			break
		}
		if time.Now().After(late) {
			t.Fatal(out)
		}
	}
	if code, out := b.asks("--no-wait", "WHOAMI"); code != 5 || !strings.Contains(out, "can't reach etcd") {
		t.Errorf("code %d, %s", code, out)
	}
}

// asks makes a session of one request, as alice.
func (s *served) asks(args ...string) (code int, out string) {
	s.t.Helper()
	base := []string{"connect", "--addr", s.addr, "--state", s.state, "--user", "alice", "--password-stdin"}
	return sallyport(s.t, "pw\n", append(base, args...)...)
}

// After a reload with the certificate of another CA the directory has the pin of that CA.
func TestServeReloadsThePin(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	state, other := filepath.Join(stateHome(t), "one"), filepath.Join(stateHome(t), "other")
	addUser(t, state)
	addUser(t, other)
	e.serve(state, "--rig", "scope")
	before := e.pin("")
	for _, name := range []string{"cert.pem", "key.pem", "ca.pem", "ca-key.pem"} {
		if err := os.Rename(filepath.Join(other, name), filepath.Join(state, name)); err != nil {
			t.Fatal(err)
		}
	}
	if code, out := sallyport(t, "", "reload", "--state", state); code != 0 {
		t.Fatal(out)
	}
	e.pin(before)
}

// pin waits until the one gate in the directory has another pin than that, and returns it.
func (e *etcd) pin(than string) string {
	e.t.Helper()
	f := e.open()
	for late := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		rigs, err := f.Rigs(e.t.Context())
		switch {
		case len(rigs) == 1 && rigs[0].CA != than:
			return rigs[0].CA
		case err != nil, time.Now().After(late):
			e.t.Fatalf("the directory has %v (%v)", rigs, err)
		}
	}
}
