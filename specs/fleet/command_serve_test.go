package fleet

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// served is a gate that runs.
type served struct {
	t     *testing.T
	state string
	addr  string
	cmd   *exec.Cmd
	mu    sync.Mutex
	said  strings.Builder // on standard error
	ended chan error
}

// serve starts a gate on a state directory. It ends with the test.
func (e *etcd) serve(state string, args ...string) *served {
	e.t.Helper()
	return e.serveAt(e.url(), state, args...)
}

// serveAt is serve with another address of etcd.
func (e *etcd) serveAt(url, state string, args ...string) *served {
	e.t.Helper()
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--state", state, "--fleet", url}, args...)
	s := &served{t: e.t, state: state, cmd: prepared(context.Background(), e.t, args...), ended: make(chan error, 1)}
	out, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		e.t.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.mu.Lock()
			s.said.WriteString(lines.Text() + "\n")
			s.mu.Unlock()
			if addr, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
				listening <- addr
			}
		}
		s.ended <- s.cmd.Wait()
	}()
	e.t.Cleanup(s.stop)
	select {
	case s.addr = <-listening:
	case <-time.After(patience):
		e.t.Fatal("the gate does not listen:", s.text())
	}
	return s
}

// stop ends the gate.
func (s *served) stop() {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-s.ended; err != nil {
		s.t.Error(err, s.text())
	}
	s.cmd = nil
}

// text is what the gate has said.
func (s *served) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

// addAlice adds alice to the users in etcd.
func (e *etcd) addAlice() {
	e.t.Helper()
	addTo(e.t, "--fleet", e.url())
}

// addUser adds alice to the users of a state directory.
func addUser(t *testing.T, state string) {
	t.Helper()
	addTo(t, "--state", state)
}

func addTo(t *testing.T, place ...string) {
	t.Helper()
	args := append([]string{"user", "add", "--password-stdin", "--iterations", "4096", "alice"}, place...)
	if code, out := sallyport(t, "pw\n", args...); code != 0 {
		t.Fatal(out)
	}
}

func TestServeWithUsersOfTheFleet(t *testing.T) {
	t.Parallel()
	e, dir := startEtcd(t), t.TempDir()
	e.addAlice()
	a := e.serve(filepath.Join(dir, "a"), "--rig", "a", "--users", "fleet")
	b := e.serve(filepath.Join(dir, "b"), "--rig", "b", "--users", "fleet")
	for _, gate := range []*served{a, b} {
		if code, out := gate.asks("ECHO", "hello"); code != 0 || out != "hello\n" {
			t.Error(code, out)
		}
	}

	// Each session has its head in etcd, and the last one has the end of the log.
	b.stop()
	verify := []string{"log", "verify", "--fleet", e.url(), "--rig", "b"}
	code, out := sallyport(t, "", append(verify, "--state", b.state)...)
	if code != 0 || !strings.Contains(out, " noted in etcd") {
		t.Error(code, out)
	}
	text, err := os.ReadFile(filepath.Join(b.state, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut")
	if err := os.WriteFile(cut, text[:strings.LastIndex(strings.TrimSuffix(string(text), "\n"), "\n")+1], 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := sallyport(t, "", append(verify, cut)...); code != 1 || !strings.Contains(out, "it is in no line") {
		t.Error("the last line is missing, and that is not found:", code, out)
	}

	// A gate that starts while etcd is away uses its copy. One without a copy asks clients to come again.
	e.stop()
	b = e.serve(b.state, "--rig", "b", "--users", "fleet")
	if code, out := b.asks("ECHO", "hello"); code != 0 {
		t.Error(code, out)
	}
	c := e.serve(filepath.Join(dir, "c"), "--rig", "c", "--users", "fleet")
	if code, out := c.asks("ECHO", "hello"); code != 1 || !strings.Contains(out, "454") {
		t.Error(code, out)
	}
	if !strings.Contains(c.text(), "nobody can log in") {
		t.Error("the operator is not told:", c.text())
	}

	e.start()
	// A wrong prefix has no users, and the gate says so.
	if !strings.Contains(e.serveAt("etcd://"+e.endpoint+"/lob", filepath.Join(dir, "d"), "--rig", "d", "--users", "fleet").text(), "there are no users in etcd") {
		t.Error("the operator is not told of a prefix without users")
	}

	// A removal reaches all gates.
	eventually(t, "the users at the gate without a copy", func() bool { code, _ := c.asks("ECHO", "hello"); return code == 0 })
	if code, out := sallyport(t, "", "user", "remove", "--fleet", e.url(), "alice"); code != 0 {
		t.Fatal(out)
	}
	for _, gate := range []*served{a, b, c} {
		eventually(t, "the removal", func() bool { code, _ := gate.asks("ECHO", "hello"); return code == 4 })
	}
}
