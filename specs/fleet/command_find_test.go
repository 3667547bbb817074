package fleet

import (
	"bufio"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/server/fleet"
)

// find runs a command of alice with a rig of the directory.
func (e *etcd) find(args string, more ...string) (code int, out string) {
	e.t.Helper()
	all := append(strings.Fields(args), "--fleet", e.url(), "--user", "alice", "--password-stdin")
	return sallyport(e.t, "pw\n", append(all, more...)...)
}

// found checks the exit code and the output of find.
func (e *etcd) found(code int, says, args string, more ...string) {
	e.t.Helper()
	if got, out := e.find(args, more...); got != code || !regexp.MustCompile(says).MatchString(out) {
		e.t.Errorf("%s: %d %s", args, got, out)
	}
}

// holder is a hold that runs until its standard input ends.
type holder struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	lines *bufio.Scanner // of standard error
}

// hold starts a hold of alice.
func (e *etcd) hold(args ...string) *holder {
	e.t.Helper()
	all := append([]string{"hold", "--fleet", e.url(), "--user", "alice", "--password-stdin"}, args...)
	h := &holder{t: e.t, cmd: prepared(e.t.Context(), e.t, append(all, "--", "sh", "-c", "echo held >&2; cat")...)}
	stdin, err := h.cmd.StdinPipe()
	if err == nil {
		_, err = io.WriteString(stdin, "pw\n")
		if err == nil {
			var stderr io.ReadCloser
			stderr, err = h.cmd.StderrPipe()
			h.lines = bufio.NewScanner(stderr)
		}
	}
	if err == nil {
		err = h.cmd.Start()
	}
	if err != nil {
		e.t.Fatal(err)
	}
	h.stdin = stdin
	e.t.Cleanup(func() { _ = stdin.Close() })
	return h
}

// until reads standard error up to a line, and returns what the regexp's group has matched.
func (h *holder) until(line string) (group string) {
	h.t.Helper()
	want := regexp.MustCompile("^" + line + "$")
	var all []string
	for h.lines.Scan() {
		all = append(all, h.lines.Text())
		if m := want.FindStringSubmatch(h.lines.Text()); m != nil {
			return m[len(m)-1]
		}
	}
	h.t.Fatalf("%q did not come: %q", line, all)
	return ""
}

func (h *holder) end() {
	h.t.Helper()
	_ = h.stdin.Close()
	for h.lines.Scan() {
	}
	if err := h.cmd.Wait(); err != nil {
		h.t.Error(err)
	}
}

// labOfTwo starts two gates with a rig each.
func labOfTwo(t *testing.T) *etcd {
	t.Helper()
	e, dir := startEtcd(t), t.TempDir()
	e.addAlice()
	for _, name := range []string{"a", "b"} {
		e.serve(filepath.Join(dir, name), "--rig", name, "--tag", "board=imx8", "--tag", "name="+name, "--users", "fleet", "--queue-per-user", "9")
	}
	f := e.open()
	eventually(t, "both gates are in the directory", func() bool { return len(rigs(t, f)) == 2 })
	return e
}

func TestRigInPlaceOfAddress(t *testing.T) {
	t.Parallel()
	e := labOfTwo(t)
	e.found(0, `^rig a at 127.0.0.1:\d+\nhello\n$`, "connect --rig a", "ECHO", "hello")
	e.found(0, `^rig b at 127.0.0.1:\d+\nhello\n$`, "connect --any --tag name=b", "ECHO", "hello")
	e.found(0, `^rig [ab] at 127.0.0.1:\d+\nran\n$`, "hold --any --tag board=imx8", "--", "echo", "ran")
	e.found(3, `^sallyport connect: there is no rig "c" in the directory; there are: a, b\n$`, "connect --rig c", "ECHO")
	e.found(3, `^sallyport connect: no rig has board=x; there are: a \(board=imx8,name=a\), b \(.*\)\n$`, "connect --any --tag board=x", "ECHO")
	e.found(2, "--rig and --addr exclude each other", "connect --rig a --addr h:1")
	e.found(2, "--any and --ca exclude each other", "connect --any --ca x")
	e.found(2, "--rig and --any exclude each other", "connect --any --rig a")
	e.found(2, "--tag goes with --any", "connect --tag board=x")
	e.found(2, "--watch needs one rig", "connect --any --watch")
	if code, out := sallyport(t, "", "__complete", "connect", "--fleet", e.url(), "--rig", ""); code != 0 || !strings.HasPrefix(out, "a\nb\n") {
		t.Error(code, out)
	}
	code, out := sallyport(t, "no\n", "connect", "--fleet", e.url(), "--any", "--user", "alice", "--password-stdin", "ECHO")
	if code != 4 || strings.Count(out, "login failed") != 1 {
		t.Error("a wrong password:", code, out)
	}
	e.stop()
	e.found(3, `^sallyport connect: etcd does not answer: .*\n$`, "connect --rig a", "ECHO")
	e.found(3, `^sallyport hold: etcd does not answer: .*\n$`, "hold --any", "--", "true")
}

// forward opens a port to a rig of the directory.
func TestForwardToARig(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	e.addAlice()
	at := e.serve(filepath.Join(t.TempDir(), "a"), "--rig", "a", "--users", "fleet", "--backend", "exec:echo hello").addr
	e.found(3, `^sallyport forward: .*there is no rig "b" in the directory; there are: a\n$`, "forward --rig b --once --listen 127.0.0.1:0")
	args := []string{"forward", "--rig", "a", "--once", "--listen", "127.0.0.1:0", "--fleet", e.url(), "--user", "alice", "--password-stdin"}
	cmd := prepared(t.Context(), t, args...)
	cmd.Stdin = strings.NewReader("pw\n")
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	h := &holder{t: t, cmd: cmd, stdin: io.NopCloser(nil), lines: bufio.NewScanner(stderr)}
	conn, err := net.Dial("tcp", h.until(`forwarding (\S+)`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	_ = conn.Close()
	if string(got) != "hello\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	h.until("rig a at " + regexp.QuoteMeta(at))
	h.end()
}

// What the message advises must be allowed together with --rig, and the warnings must not hide it.
func TestRigWithAWrongEntry(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	e.found(3, `^sallyport connect: no rigs under /lab: .*\n$`, "connect --rig a", "ECHO")
	e.found(3, `^sallyport hold: no rigs under /lab: .*\n$`, "hold --any", "--", "true")
	at := e.serve(filepath.Join(t.TempDir(), "a"), "--rig", "a").addr
	f := e.open()
	for name, pin := range map[string]string{"other": "SHA256:" + strings.Repeat("A", 43), "malformed": "x"} {
		register(t, f, 1, name, func() fleet.Rig { return fleet.Rig{Addr: at, CA: pin} })
		e.found(3, `: the directory has this pin .* give --addr and --pin in place of --rig or --any\n$`, "connect --rig "+name, "ECHO")
	}
	register(t, f, 1, "none", func() fleet.Rig { return fleet.Rig{Addr: at} })
	e.found(3, `: the directory names no CA for this server: give --addr and --ca in place of --rig or --any`, "connect --rig none", "ECHO")
	for _, bad := range []string{"bad1", "bad2"} {
		if _, err := e.client().Put(t.Context(), "lab/rigs/"+bad+"/"+id(4), "{"); err != nil {
			t.Fatal(err)
		}
	}
	e.found(3, `^warning: a value in etcd is ignored: \S+bad1\S+: it is no JSON object; sallyport rigs lists all\nsallyport connect: there is no rig`, "connect --rig c", "ECHO")
}

func TestAnyRig(t *testing.T) {
	t.Parallel()
	e := labOfTwo(t)
	holds := map[string]*holder{"a": e.hold("--rig", "a")}
	holds["a"].until("held")
	e.found(0, `^rig b at \S+\nhello\n$`, "connect --any", "ECHO", "hello")
	holds["b"] = e.hold("--any")
	holds["b"].until(`rig b at \S+`)
	holds["b"].until("held")
	e.found(5, "^sallyport connect: none of 2 rigs is free", "connect --any --no-wait", "ECHO")

	// It waits at one rig, and takes the other that becomes free.
	third := e.hold("--any")
	at := third.until(`rig ([ab]) at \S+`)
	third.until("waiting: position 1 holder alice")
	other := map[string]string{"a": "b", "b": "a"}[at]
	holds[other].end()
	third.until(`rig ` + other + ` at \S+`)
	third.until("held")

	// It waits again, and its turn comes.
	fourth := e.hold("--any", "--tag", "name="+at)
	fourth.until("waiting: position 1 holder alice")
	holds[at].end()
	fourth.until("held")
	third.end()
	fourth.end()
}

// A rig whose seat two gates share is reached while one of them can't be.
func TestRigWithSeveralGates(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	e.addAlice()
	f := e.open()
	register(t, f, 1, "s", func() fleet.Rig { return fleet.Rig{Addr: "127.0.0.1:1", Seat: true} })
	e.found(3, `^sallyport connect: no connection to 127.0.0.1:1: .*\n$`, "connect --rig s", "ECHO")
	e.serve(filepath.Join(t.TempDir(), "s"), "--rig", "s", "--fleet-seat", "--users", "fleet")
	eventually(t, "the gate is in the directory", func() bool { return len(rigs(t, f)) == 2 })
	e.found(0, `^rig s at 127.0.0.1:\d\d+\nhello\n$`, "connect --rig s", "ECHO", "hello")
	e.found(0, `^rig s at 127.0.0.1:\d\d+\nhello\n$`, "connect --any", "ECHO", "hello")
}
