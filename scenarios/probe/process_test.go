//go:build unix

package probe

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// When a run has ended in any way, no process of a command runs on. Each script starts a process that sleeps, and
// writes its number to a file.
func TestNoProcessIsLeft(t *testing.T) {
	t.Parallel()
	const leave = "sleep 300 & echo $! >>$PIDS; "
	const hang = leave + "wait"
	for name, c := range map[string]struct {
		role    Role
		target  Target
		script  string
		stopped bool
	}{
		"a server breaks the protocol":                 {ServerRole, Target{Dialect: "stdio"}, leave + "read x; echo + cj14; wait", false},
		"a server speaks no protocol":                  {ServerRole, Target{Dialect: "stdio"}, leave + "echo hello; wait", false},
		"a server refuses":                             {ServerRole, Target{Dialect: "stdio"}, leave + "read x; echo no; wait", false},
		"a server ends, and leaves a process":          {ServerRole, Target{Dialect: "stdio"}, leave + "read x; echo no", false},
		"a server hangs":                               {ServerRole, Target{Dialect: "stdio"}, hang, false},
		"a server hangs, and the run is stopped":       {ServerRole, Target{Dialect: "stdio"}, hang, true},
		"a client speaks no protocol":                  {ClientRole, Target{Dialect: "stdio"}, leave + "echo hello; wait", false},
		"a client hangs":                               {ClientRole, Target{Dialect: "stdio"}, hang, false},
		"a client hangs, and the run is stopped":       {ClientRole, Target{Dialect: "stdio"}, hang, true},
		"a client hangs in the middle of a login":      {ClientRole, Target{Dialect: "stdio"}, leave + "echo + biwsbj1hLHI9eA==; wait", false},
		"a client connects nowhere":                    {ClientRole, loopback, hang, false},
		"a client connects nowhere, and it is stopped": {ClientRole, loopback, hang, true},
		"a client ends, and leaves a process":          {ClientRole, loopback, leave, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pids := filepath.Join(t.TempDir(), "pids")
			p, err := New(Config{Role: c.role, Target: c.target, Timeout: 2 * time.Second, Command: []string{"env", "PIDS=" + pids, "sh", "-c", c.script}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.stopped {
				go stopWhen(ctx, cancel, pids)
			}
			for range p.Run(ctx) { //nolint:revive // the results are of no interest
			}
			select {
			case <-p.child.done:
			default:
				t.Error("the run does not wait for the end of the command")
			}
			noneLives(t, pids)
		})
	}
}

// The exit code counts, even if another process keeps the command's standard error open. Processes left in its group
// are ended at once. A process that has left the group is not waited for. The words are the command's, and how it ended
// by itself.
func TestExitCodeCounts(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]struct {
		ok, hung bool
		words    string
	}{
		"sleep 300 & exit 0":                   {true, false, ""},
		"sleep 300 & exit 7":                   {false, false, "it printed nothing (exit status 7)"},
		"setsid sleep 3 & sleep 0.3; echo a":   {true, false, "a"},
		"echo a; echo b >&2; kill -KILL $$":    {false, false, "b (signal: killed)"},
		"echo a; trap '' TERM; sleep 300; :":   {false, true, "a"},
		"head -c 99999 /dev/zero | tr '\\0' x": {true, false, strings.Repeat("x", 200)},
	} {
		p, err := startProcess(t.Context(), []string{"sh", "-c", script}, nil, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		timeout := 20 * time.Second
		if want.hung {
			timeout = 2 * time.Second
		}
		if ok, hung := p.wait(timeout); ok != want.ok || hung != want.hung || p.words() != want.words {
			t.Errorf("%s: %v, hung: %v, %q", script, ok, hung, p.words())
		}
	}
}

var loopback = Target{Dialect: "smtp", Host: "127.0.0.1", Port: "0"}

// stopWhen stops a run when a file is there.
func stopWhen(ctx context.Context, stop func(), file string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if text, _ := os.ReadFile(file); len(text) > 0 {
			stop()
		}
		<-tick.C
	}
}

// noneLives fails if a process in a file still runs. A killed process may end a little later.
func noneLives(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal("no process was started: ", err)
	}
	for word := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		if !ends(pid) {
			t.Errorf("process %d still runs", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// ends reports whether a process ends soon, as a killed one does.
func ends(pid int) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); <-tick.C {
		if state, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); strings.Contains(string(state), ") Z ") {
			return true // a zombie: its parent has not waited for it yet
		}
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return true
		}
	}
	return false
}
