package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

// program runs the command as a client. Where it is killed the note says so.
func (g *guest) program(ctx context.Context, input, verb string, args ...string) *process {
	file := filepath.Join(g.dir, "pw-"+g.note.id)
	if err := os.WriteFile(file, []byte(g.note.password+"\n"), 0o600); err != nil {
		return nil
	}
	defer os.Remove(file)
	p := &process{done: make(chan struct{})}
	p.prepare(ctx, input, g.bin, append([]string{
		verb, "--addr", g.path.addr, "--ca", filepath.Join(g.dir, "ca.pem"), "--user", g.note.user, "--password-file", file,
	}, args...)...)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	if p.begin() != nil {
		return nil
	}
	g.killSometimes(ctx, p)
	<-p.done
	g.note.exit = p.cmd.ProcessState.ExitCode() + 1
	return p
}

// exitDone is attempt.exit of a program that left with 0.
const exitDone = 1

// killSometimes kills one program in five at a random moment.
func (g *guest) killSometimes(ctx context.Context, p *process) {
	if g.r.IntN(5) > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(g.r.IntN(600))*time.Millisecond)
	defer cancel()
	select {
	case <-p.done:
	case <-ctx.Done():
		g.note.killed = true
		g.count("clients killed")
		p.signal(syscall.SIGKILL)
	}
}

// connect gives "sallyport connect" some lines, and takes each line of its output for the answer to one.
func (g *guest) connect(ctx context.Context) {
	lines := make([]string, 1+g.r.IntN(10))
	for i := range lines {
		lines[i] = "ECHO " + g.note.id + strings.Repeat(".", g.r.IntN(50))
	}
	p := g.program(ctx, strings.Join(lines, "\n")+"\n", "connect")
	if p == nil {
		return
	}
	answers, _ := strings.CutSuffix(p.out.String(), "\n")
	for i, answer := range strings.Split(answers, "\n") {
		request := protocol.Request{Verb: "ECHO", Argument: answer}
		if i >= len(lines) || "ECHO "+answer != lines[i] {
			break
		}
		g.note.seated = time.Now() // or before
		g.note.answered(request, protocol.Reply{Code: protocol.CodeDone}, g.note.began)
	}
}

// hold runs this program as the COMMAND of "sallyport hold", where it uses the device.
func (g *guest) hold(ctx context.Context) {
	self, err := os.Executable()
	if err != nil {
		return
	}
	length := time.Duration(20+g.r.IntN(300)) * time.Millisecond
	if g.path.kind == blackhole {
		length = g.path.length + 2*time.Second
	}
	args := []string{"--", self, touchVerb, g.device.addr(), g.note.id, length.String()}
	if g.r.IntN(4) == 0 { // COMMAND ends soon, and what uses the device has left its session and its group
		args = append([]string{"--", "sh", "-c", `setsid "$0" "$@" & sleep 0.1`}, args[1:]...)
	}
	if g.r.IntN(6) == 0 {
		args = append(args, ignoresTerm)
	}
	g.program(ctx, "", "hold", args...)
}
