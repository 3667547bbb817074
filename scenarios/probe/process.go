package probe

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A process is a command of the peer under test, with all that it starts.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
	said *tail
}

// startProcess starts a command in a process group of its own. The end of ctx ends the group. Its standard error
// goes to shown as well, and without out its standard output too.
func startProcess(ctx context.Context, argv, env []string, in io.Reader, out io.Writer, shown io.Writer) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), done: make(chan struct{}), said: &tail{also: shown}}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, out, p.said
	if out == nil {
		p.cmd.Stdout = p.said
	}
	ownGroup(p.cmd)
	p.cmd.Cancel = func() error { return endGroup(p.cmd) }
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		_ = endGroup(p.cmd) // what it has left behind
		close(p.done)
	}()
	return p, nil
}

// wait returns whether the command ended with exit code 0, and whether it did not end in time and was killed.
func (p *process) wait(timeout time.Duration) (ok, hung bool) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		hung = true
		p.end()
	}
	return p.err == nil, hung
}

// hasEnded reports whether the command has ended by itself.
func (p *process) hasEnded() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// end kills the command and its group, and waits until the command has ended. Each login of a command ends with it,
// because the program may exit at once, before the end of a context has killed anything.
func (p *process) end() {
	if !p.hasEnded() { // then its number may be that of another process by now
		_ = endGroup(p.cmd)
		<-p.done
	}
}

// words returns the last line that the command printed, and its exit code.
func (p *process) words() string {
	exit := new(exec.ExitError)
	words := p.said.last()
	if errors.As(p.err, &exit) {
		words = strings.TrimSpace(words + " (" + exit.Error() + ")")
	}
	return words
}

// tail keeps the end of a text.
type tail struct {
	mu   sync.Mutex
	text []byte
	also io.Writer
}

const maxTail = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text = append(t.text, p...); len(t.text) > maxTail {
		t.text = append([]byte(nil), t.text[len(t.text)-maxTail:]...)
	}
	if t.also != nil {
		_, _ = t.also.Write(p)
	}
	return len(p), nil
}

// last returns the last line that is not empty.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
