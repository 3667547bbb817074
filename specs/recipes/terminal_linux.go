package recipes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// patience is how long a step may take.
const patience = time.Minute

// ready is the prompt of a terminal, which no command prints.
const ready = "\x02ready\x03"

// Run does the steps in a directory, with the commands of bin in the path. It needs root, for a network of its own.
func Run(ctx context.Context, steps []Step, dir, bin string) error {
	done := make(chan error, 1)
	go func() { // its thread has another network from here on, and ends with it
		runtime.LockOSThread()
		done <- run(ctx, steps, dir, bin)
	}()
	return <-done
}

func run(ctx context.Context, steps []Step, dir, bin string) (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("a network of its own needs root: %w", err)
	}
	if out, err := exec.CommandContext(ctx, "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, out)
	}
	return Place{Shell: func() *exec.Cmd { return shell(dir, bin) }, Home: dir, Root: dir}.Run(ctx, steps)
}

// shell returns a bash in a directory that is its home too.
func shell(dir, bin string) *exec.Cmd {
	bash := exec.Command("bash", "--norc", "--noprofile")
	bash.Dir = dir
	bash.Env = []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8", "TERM=dumb", "PYTHONUNBUFFERED=1",
		"USER=" + os.Getenv("USER"),
	}
	return bash
}

// Place is where a document is tried.
type Place struct {
	// Shell returns a bash, not started, which is the shell of a terminal. Run adds variables to its environment.
	Shell func() *exec.Cmd
	// Home is where names of files begin, Root where those begin that are absolute.
	Home, Root string
}

func (p Place) path(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Join(p.Root, name)
	}
	return filepath.Join(p.Home, name)
}

// Run does the steps.
func (p Place) Run(ctx context.Context, steps []Step) (err error) {
	terminals := map[string]*terminal{}
	defer func() {
		for _, t := range terminals {
			err = errors.Join(err, t.close())
		}
	}()
	for _, step := range steps {
		if step.Command == "" {
			if err := write(p.path(step.File), step.Content); err != nil {
				return err
			}
			continue
		}
		t := terminals[step.Terminal]
		if t == nil {
			if t, err = open(p.Shell()); err != nil {
				return err
			}
			terminals[step.Terminal] = t
		}
		if err := t.do(ctx, step); err != nil {
			return fmt.Errorf("line %d: %s: %w\nthe terminal:\n%s", step.Line, step.Command, err, t.text())
		}
	}
	return nil
}

func write(path, content string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644))
}

// terminal is a bash on a pty.
type terminal struct {
	bash *exec.Cmd
	file *os.File
	want []string // what the last command prints

	mu      sync.Mutex
	output  strings.Builder // since the last command
	changed chan struct{}
	exited  chan error // gets a value when bash has ended
}

func open(bash *exec.Cmd) (t *terminal, err error) {
	t = &terminal{bash: bash, changed: make(chan struct{}, 1), exited: make(chan error, 1)}
	bash.Env = append(bash.Env, "PS1="+ready, "PS2=", "HISTFILE=")
	if t.file, err = pty.StartWithSize(t.bash, &pty.Winsize{Rows: 50, Cols: 1000}); err != nil {
		return nil, err
	}
	go t.listen()
	go func() { t.exited <- t.bash.Wait() }()
	return t, t.await(context.Background(), hasEnded)
}

func (t *terminal) listen() {
	for buf := make([]byte, 4096); ; {
		n, err := t.file.Read(buf)
		t.mu.Lock()
		t.output.Write(buf[:n])
		t.mu.Unlock()
		select {
		case t.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (t *terminal) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ReplaceAll(t.output.String(), "\r", "")
}

// printed returns the whole lines that the last command has printed, and whether it has ended.
func (t *terminal) printed() (lines []string, ended bool) {
	text, _, ended := strings.Cut(t.text(), ready)
	lines = strings.Split(text, "\n")
	if n := len(lines) - 1; lines[n] == "" || !ended {
		lines = lines[:n]
	}
	return lines, ended
}

// await waits until seen is true of what the last command has printed.
func (t *terminal) await(ctx context.Context, seen func(lines []string, ended bool) (bool, error)) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		if ok, err := seen(t.printed()); ok || err != nil {
			return err
		}
		select {
		case <-t.changed:
		case <-timer.C:
			return fmt.Errorf("this did not come within %v", patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// do types a command when the last one has ended, and waits until it has printed what it must.
func (t *terminal) do(ctx context.Context, step Step) error {
	switch {
	case step.Command == "^C":
		t.want = append(t.want, "...")
		return t.interrupt(ctx)
	case strings.HasPrefix(step.Command, "^]"):
		t.want = append(t.want, "...")
		_, err := t.file.WriteString("\x1d" + step.Command[2:])
		return errors.Join(err, t.await(ctx, hasEnded))
	}
	if err := t.await(ctx, func(lines []string, ended bool) (bool, error) {
		_, err := match(lines, t.want, ended)
		return ended, err
	}); err != nil {
		return fmt.Errorf("the last command of this terminal: %w", err)
	}
	t.mu.Lock()
	t.output.Reset()
	t.mu.Unlock()
	if _, err := fmt.Fprintf(t.file, "%s\n", step.Command); err != nil {
		return err
	}
	t.want = append(strings.Split(step.Command, "\n"), step.Want...) // the terminal's echo comes first
	return t.await(ctx, func(lines []string, ended bool) (bool, error) {
		n, err := match(lines, t.want, ended)
		return ended || n == len(t.want) && len(step.Want) > 0, err
	})
}

// interrupt presses Ctrl-C until the last command has ended: while bash starts a command, it takes the key for itself.
func (t *terminal) interrupt(ctx context.Context) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, ended := t.printed(); ended {
			return nil
		}
		if _, err := t.file.Write([]byte{3}); err != nil {
			return err
		}
		second, cancel := context.WithTimeout(ctx, time.Second)
		err := t.await(second, hasEnded)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return errors.New("it does not end")
}

func hasEnded(_ []string, ended bool) (bool, error) { return ended, nil }

// close ends what still runs in the terminal: as its user would with Ctrl-C, and after a while all of its session.
func (t *terminal) close() error {
	defer t.file.Close()
	if err := t.interrupt(context.Background()); err != nil {
		return errors.Join(err, syscall.Kill(-t.bash.Process.Pid, syscall.SIGKILL), t.leftovers())
	}
	for range 10 { // the key may have taken the command with it
		_, _ = t.file.Write([]byte("exit\n"))
		select {
		case <-t.exited: // its code is that of the last command
			return t.leftovers()
		case <-time.After(time.Second):
		}
	}
	return errors.Join(errors.New("bash does not end"), syscall.Kill(-t.bash.Process.Pid, syscall.SIGKILL))
}

// leftovers waits for what is left of the terminal's session. What doesn't end by itself it kills, and names it.
func (t *terminal) leftovers() (err error) {
	left := t.session()
	for range 50 {
		if len(left) == 0 {
			return nil
		}
		time.Sleep(100 * time.Millisecond) // nothing tells of the end of a process that is no child
		left = t.session()
	}
	for pid, name := range left {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		err = errors.Join(err, fmt.Errorf("a command was left behind: %s", name))
	}
	return err
}

// session returns the processes of the terminal's session.
func (t *terminal) session() map[int]string {
	all := map[int]string{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, _ := os.ReadFile(file)
		at := strings.LastIndex(string(text), ")")
		fields := strings.Fields(string(text[at+1:]))
		if len(fields) > 3 && fields[3] == fmt.Sprint(t.bash.Process.Pid) && fields[0] != "Z" {
			var pid int
			_, _ = fmt.Sscan(filepath.Base(filepath.Dir(file)), &pid)
			all[pid] = string(text[:at+1])
		}
	}
	return all
}
