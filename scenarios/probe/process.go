package probe

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A process is a command of the peer under test, and its process group.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	said *tail
	// killed means that end has ended the command.
	killed bool
}

// startProcess starts a command in a process group of its own. The end of ctx ends the group. The command's standard
// error goes to shown as well. If out is nil, standard output goes to the same place. The error is [ErrNotReached].
func startProcess(ctx context.Context, argv, env []string, in, out *os.File, shown io.Writer) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), done: make(chan struct{}), said: &tail{also: shown}}
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = theirs, theirs
	if out != nil {
		p.cmd.Stdin, p.cmd.Stdout = in, out
	}
	ownGroup(p.cmd)
	p.cmd.Cancel = func() error { return endGroup(p.cmd) }
	err = p.cmd.Start()
	_ = theirs.Close()
	if err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("%w: COMMAND can't be started: %w", ErrNotReached, err)
	}
	go p.watch(ours)
	return p, nil
}

// watch waits for the end of the command, ends its group, and reads the rest of its standard error. A process that has
// left the group may keep that open.
func (p *process) watch(words *os.File) {
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(p.said, words)
	}()
	_ = p.cmd.Wait()
	_ = endGroup(p.cmd)
	select {
	case <-read:
	case <-time.After(time.Second):
	}
	_ = words.Close()
	close(p.done)
}

// wait waits for the end of the command. ok means exit code 0, and hung that the command did not end in time and was
// killed.
func (p *process) wait(timeout time.Duration) (ok, hung bool) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		hung = true
		p.end()
	}
	return p.cmd.ProcessState.Success(), hung
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

// end kills the command and its group, and waits until the command has ended. Each login ends with it, because the
// prober may exit before the end of a context has killed anything.
func (p *process) end() {
	if !p.hasEnded() { // then its number may be that of another process by now
		p.killed = true
		_ = endGroup(p.cmd)
		<-p.done
	}
}

// words returns the last line that the command printed, and how it ended, unless it ended with exit code 0 or the
// prober killed it.
func (p *process) words() string {
	words, state := p.said.last(), p.cmd.ProcessState
	if p.killed || state.Success() {
		return words
	}
	return cmp.Or(words, "it printed nothing") + " (" + state.String() + ")"
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

// last returns the last line that is not empty, or its beginning if it is long.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	return fmt.Sprintf("%.200s", strings.TrimSpace(lines[len(lines)-1]))
}
