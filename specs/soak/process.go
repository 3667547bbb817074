package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxOutput bounds the output of a process that is kept, in bytes.
const maxOutput = 256 << 10

// process is a child process. Each ends with the run at the latest, by its own id.
type process struct {
	cmd  *exec.Cmd
	out  output
	err  output
	done chan struct{} // closed when it has ended
}

// output keeps the start and the end of what a process wrote.
type output struct {
	mu   sync.Mutex
	kept []byte
	seen func(all []byte) // called after each write, with the lock held
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, p...)
	if len(o.kept) > maxOutput {
		o.kept = append(o.kept[:maxOutput/4:maxOutput/4], o.kept[len(o.kept)-maxOutput/2:]...)
	}
	if o.seen != nil {
		o.seen(o.kept)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.kept)
}

// start starts a command. It gets SIGKILL when ctx ends.
func start(ctx context.Context, input string, path string, args ...string) (*process, error) {
	p := &process{done: make(chan struct{})}
	p.prepare(ctx, input, path, args...)
	return p, p.begin()
}

func (p *process) prepare(ctx context.Context, input string, path string, args ...string) {
	p.cmd = exec.CommandContext(ctx, path, args...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = strings.NewReader(input), &p.out, &p.err
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()}
	p.cmd.WaitDelay = 5 * time.Second
	endWithParent(p.cmd)
}

func (p *process) begin() error {
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	return nil
}

// signal sends a signal, if the process still runs.
func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// ended waits for the end, and kills the process after the given time. It reports whether it ended by itself.
func (p *process) ended(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.done
		return false
	}
}

// server is a process of "sallyport serve".
type server struct {
	*process
	addr string
}

// startServer starts a server on a state directory and waits until it listens.
func startServer(ctx context.Context, bin, dir string, flags ...string) (*server, error) {
	p, addr := &process{done: make(chan struct{})}, make(chan string, 1)
	p.prepare(ctx, "", bin, append([]string{"serve", "--listen", "127.0.0.1:0", "--state", dir}, flags...)...)
	p.err.seen = func(all []byte) {
		if _, rest, ok := bytes.Cut(all, []byte("listening on ")); ok && bytes.ContainsRune(rest, '\n') {
			line, _, _ := strings.Cut(string(rest), "\n")
			addr <- line
			p.err.seen = nil
		}
	}
	if err := p.begin(); err != nil {
		return nil, err
	}
	timer := time.NewTimer(30 * time.Second)
	defer timer.Stop()
	select {
	case where := <-addr:
		return &server{p, where}, nil
	case <-p.done:
	case <-timer.C:
		p.ended(0)
	}
	return nil, fmt.Errorf("the server did not listen (%v): %s", p.cmd.ProcessState, p.err.String())
}

// usage returns the memory and the number of descriptors of a process. Only Linux says.
func (p *process) usage() (rss int64, descriptors int, ok bool) {
	if runtime.GOOS != "linux" {
		return 0, 0, false
	}
	dir := filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid))
	entries, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return 0, 0, false
	}
	statm, err := os.ReadFile(filepath.Join(dir, "statm"))
	fields := strings.Fields(string(statm))
	if err != nil || len(fields) < 2 {
		return 0, 0, false
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), len(entries), err == nil
}

// build builds the command into a directory and returns its path.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "sallyport")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/sallyport/sallyport/cmd/sallyport")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}
