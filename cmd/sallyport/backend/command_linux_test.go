package backend

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/protocol"
)

// run starts a command.
func run(t *testing.T, spec string, o Options) (io.ReadWriteCloser, *messages) {
	t.Helper()
	b, err := Parse(spec, o)
	if err != nil {
		t.Fatal(err)
	}
	m := &messages{}
	b.Stderr, b.Log = m, slog.New(slog.NewTextHandler(m, nil))
	return open(t, b), m
}

// messages collects the messages for the operator.
type messages struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (m *messages) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = m.text.WriteString("[")
	_, _ = m.text.Write(p)
	return len(p), nil
}

func (m *messages) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text.String()
}

// rest returns what a command writes until its end. Then the next may run.
func rest(t *testing.T, stream io.ReadWriteCloser) string {
	t.Helper()
	all, err := io.ReadAll(stream)
	if err := errors.Join(err, stream.Close()); err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func TestExecIsJoined(t *testing.T) {
	stream, told := run(t, "exec:while read line; do echo \"<$line>\"; echo \"got $line\" >&2; done; printf 'the end' >&2; exit 3", Options{})
	write(t, stream, "one\n")
	expect(t, stream, "<one>\n")
	write(t, stream, "two\n")
	if err := stream.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := rest(t, stream); got != "<two>\n" {
		t.Errorf("%q", got)
	}
	if got := told.String(); !strings.HasPrefix(got, "[got one\n[got two\n") || !strings.Contains(got, "[the end\n") ||
		!strings.Contains(got, `msg="the backend's command has failed" "exit code"=3`) {
		t.Error(got)
	}
}

func TestLongLinesOfStderrAreCut(t *testing.T) {
	var out messages
	copyLines(&out, strings.NewReader(strings.Repeat("x", maxLine+1)+"\n\n"))
	if want := "[" + strings.Repeat("x", maxLine) + "\n[x\n[\n"; out.String() != want {
		t.Errorf("%.50q... of %d", out.String(), len(out.String()))
	}
}

func TestCommandHasItsEnvironmentAlone(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:/bin")
	t.Setenv("HOME", "/home/operator")
	t.Setenv("LANG", "")
	t.Setenv("SECRET", "of the server")
	leaked, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer leaked.Close()
	if _, err := unix.FcntlInt(leaked.Fd(), unix.F_SETFD, 0); err != nil { // as if the server had inherited it
		t.Fatal(err)
	}
	for spec, term := range map[string]string{"exec:": "dumb", "pty:": "xterm-256color"} {
		stream, _ := run(t, spec+`tr '\0' '\n' </proc/$$/environ; ls -1 /proc/$$/fd`, Options{})
		want := "PATH=/usr/bin:/bin\nHOME=/home/operator\nLANG=C.UTF-8\nTERM=" + term + "\nSALLYPORT_USER=alice\nSALLYPORT_CONN=C-1\n0\n1\n2\n"
		if got := strings.ReplaceAll(rest(t, stream), "\r", ""); got != want {
			t.Errorf("%s\n%s", spec, got)
		}
	}
}

// A device that remembers the token can refuse the commands of an earlier session.
func TestCommandHasTheFencingToken(t *testing.T) {
	b, err := Parse(`exec:echo "$SALLYPORT_TOKEN"`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := b.Open(t.Context(), Client{User: "alice", Token: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if got := rest(t, stream); got != "1099511627776\n" {
		t.Errorf("%q", got)
	}
}

func TestCommandHasASessionOfItsOwn(t *testing.T) {
	own, err := unix.Getsid(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range []string{"exec:", "pty:"} {
		stream, _ := run(t, spec+`cut -d" " -f6,7 /proc/$$/stat`, Options{})
		var session, terminal int
		if _, err := fmt.Sscan(rest(t, stream), &session, &terminal); err != nil {
			t.Fatal(err)
		}
		if session == own || (terminal != 0) != (spec == "pty:") {
			t.Errorf("%s session %d (the server's is %d), terminal %d", spec, session, own, terminal)
		}
	}
}

func TestPTYIsATerminal(t *testing.T) {
	stream, _ := run(t, `pty:stty size; tty; trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done`, Options{})
	expect(t, stream, "24 80\r\n/dev/pts/")
	for c := make([]byte, 1); c[0] != '\n'; {
		if _, err := stream.Read(c); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, stream, "ready\r\n")
	window := stream.(interface {
		SetWindow(columns, rows int) error
	})
	if window.SetWindow(0, 1) == nil || window.SetWindow(1, 65536) == nil {
		t.Error("impossible sizes")
	}
	if err := window.SetWindow(132, 50); err != nil {
		t.Fatal(err)
	}
	if got := rest(t, stream); got != "50 132\r\n" {
		t.Errorf("%q", got)
	}
	stream, _ = run(t, "pty:echo ready; exec sleep 1000", Options{})
	expect(t, stream, "ready\r\n")
	write(t, stream, "\x03")
	if got := rest(t, stream); got != "^C" {
		t.Errorf("Ctrl-C: %q", got)
	}
}

func TestCommandIsReadToTheEnd(t *testing.T) {
	for spec, end := range map[string]string{"exec:": "\n", "pty:": "\r\n"} {
		stream, _ := run(t, spec+"seq 1 50000", Options{})
		time.Sleep(50 * time.Millisecond) // the reader is late
		got, err := io.ReadAll(stream)
		if err != nil {
			t.Error(err)
		}
		if lines := bytes.Count(got, []byte(end)); lines != 50000 || !bytes.HasSuffix(got, []byte("\n50000"+end)) {
			t.Errorf("%s %d lines, the last of %q", spec, lines, got[max(0, len(got)-10):])
		}
		for range 3 { // more than a pipe holds
			write(t, stream, strings.Repeat("nobody reads this\n", 10000))
		}
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestCommandThatCantRun: a command that is not there fails, and any other ends, whatever its code.
func TestCommandThatCantRun(t *testing.T) {
	for command, fails := range map[string]bool{
		"/no/such/command": true, "exec /etc/passwd": true, "exit 127": true,
		"exit 1": false, "echo; exit 2": false, "exec >&-; sleep 0.5; exit 127": false,
	} {
		for _, kind := range []string{"exec:", "pty:"} {
			if kind == "pty:" && strings.Contains(command, ">&-") {
				continue // the terminal stays open
			}
			stream, _ := run(t, kind+command, Options{})
			_, err := io.ReadAll(stream)
			if refused, ok := errors.AsType[*protocol.ReplyError](err); ok != fails || ok && refused.Code != protocol.CodeFailed || !ok && err != nil {
				t.Errorf("%s%s: %v", kind, command, err)
			}
			if _, err := stream.Read(make([]byte, 1)); fails && err == io.EOF {
				t.Error("the second Read says that it has ended well")
			}
			_ = stream.Close()
		}
	}
}

func TestCommandMayCloseItsInput(t *testing.T) {
	stream, _ := run(t, "exec:exec <&-; echo closed; sleep 1000", Options{})
	expect(t, stream, "closed\n")
	for range 3 {
		write(t, stream, strings.Repeat("nobody reads this\n", 10000))
	}
}

func TestCommandCloseUnblocks(t *testing.T) {
	for _, spec := range []string{"exec:", "pty:stty raw; printf ready; "} {
		for what, use := range map[string]func(io.ReadWriteCloser) error{
			"Read":  func(s io.ReadWriteCloser) error { _, err := s.Read(make([]byte, 1)); return err },
			"Write": func(s io.ReadWriteCloser) error { _, err := s.Write(make([]byte, 1<<20)); return err },
		} {
			stream, _ := run(t, spec+"sleep 1000", Options{})
			if strings.HasPrefix(spec, "pty:") {
				expect(t, stream, "ready")
			}
			result := make(chan error, 1)
			go func() { result <- use(stream) }()
			time.Sleep(10 * time.Millisecond) // most often it has begun then; the test holds if not
			if err := stream.Close(); err != nil {
				t.Error(err)
			}
			if err := <-result; !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s %s: %v", spec, what, err)
			}
		}
	}
}

// TestCommandEndsWithAllItStarted needs the time between SIGTERM and SIGKILL.
func TestCommandEndsWithAllItStarted(t *testing.T) {
	const script = `(setsid sh -c 'trap "" TERM HUP; echo $$; while :; do sleep 1; done' &) & read line`
	for _, spec := range []string{"exec:", "pty:"} {
		for how, end := range map[string]func(io.ReadWriteCloser) error{
			"Close": io.ReadWriteCloser.Close,
			"the command's end": func(s io.ReadWriteCloser) error {
				_, err := io.WriteString(s, "end\n")
				_, _ = io.Copy(io.Discard, s)
				return errors.Join(err, s.Close())
			},
		} {
			t.Run(spec+how, func(t *testing.T) {
				stream, _ := run(t, spec+script, Options{})
				var pid int
				for c := make([]byte, 1); ; {
					if _, err := stream.Read(c); err != nil {
						t.Fatal(err)
					}
					if c[0] < '0' || c[0] > '9' {
						break
					}
					pid = 10*pid + int(c[0]-'0')
				}
				if err := syscall.Kill(pid, 0); err != nil {
					t.Fatalf("control: %d runs: %v", pid, err)
				}
				if err := end(stream); err != nil {
					t.Error(err)
				}
				if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("%d runs on: %v", pid, err)
				}
			})
		}
	}
}

func TestCommandLeavesNoDescriptor(t *testing.T) {
	count := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	use := func() {
		for _, spec := range []string{"exec:echo; read line", "pty:echo; read line"} {
			stream, _ := run(t, spec, Options{})
			if _, err := stream.Read(make([]byte, 2)); err != nil {
				t.Error(err)
			}
			if err := stream.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	use()
	before := count()
	for range 3 {
		use()
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
