package shepherd

import (
	"bufio"
	"io"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// other is a shell that this process has started by itself.
type other struct {
	t     *testing.T
	shell *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
}

func startOther(t *testing.T) *other {
	t.Helper()
	o := &other{t: t, shell: exec.Command("sh")}
	o.in, _ = o.shell.StdinPipe()
	out, err := o.shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.out = bufio.NewReader(out)
	if err := o.shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = o.shell.Process.Kill()
		_ = o.shell.Wait()
	})
	return o
}

// starts makes the shell start a process, and returns its pid.
func (o *other) starts(command string) int {
	o.t.Helper()
	if _, err := io.WriteString(o.in, command+"\n"); err != nil {
		o.t.Fatal(err)
	}
	line, err := o.out.ReadString('\n')
	pid, numberErr := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || numberErr != nil {
		o.t.Fatal(err, numberErr)
	}
	o.t.Cleanup(func() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		_, _ = syscall.Wait4(pid, nil, 0, nil) // if this process has adopted it
	})
	return pid
}

func alive(pid int) bool {
	p, ok := readProcess(pid)
	return ok && p.state != 'Z'
}

func TestOnlyWhatTheShepherdHasLeftIsEnded(t *testing.T) {
	for how, end := range map[string]func(*Process){
		"it ends by itself": func(p *Process) { p.send(stopNow) },
		"it is killed":      func(p *Process) { _ = p.cmd.Process.Kill() },
	} {
		t.Run(how, func(t *testing.T) {
			shell := startOther(t)
			const sleeps = `sleep 300 >&- & echo $!`
			others := []int{shell.shell.Process.Pid, shell.starts(sleeps), shell.starts(`setsid sh -c 'echo $$; exec sleep 300 >&-' &`)}
			p := start(t, "sleep 300 & setsid sleep 300 & wait", time.Time{})
			others = append(others, shell.starts(sleeps), shell.starts(`(`+sleeps+`)`)) // the latter is adopted
			var ours []int
			for len(ours) < 3 {
				ours = nil
				eachDescendant(p.cmd.Process.Pid, func(pid int) { ours = append(ours, pid) })
				time.Sleep(time.Millisecond)
			}
			end(p)
			if code, err := p.Wait(); code < 128 || err != nil {
				t.Errorf("%d, %v", code, err)
			}
			for _, pid := range ours {
				if alive(pid) {
					t.Errorf("%d runs on", pid)
				}
			}
			for i, pid := range others {
				if !alive(pid) {
					t.Errorf("other %d (%d) was ended", i, pid)
				}
			}
		})
	}
}

func TestWhatCannotBeEndedIsNamed(t *testing.T) {
	if syscall.Geteuid() != 0 {
		t.Skip("needs another user")
	}
	o := &others{}
	pid := startOther(t).shell.Process.Pid
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: only this thread, which then ends, becomes another user
		if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); err != 0 {
			result <- err
			return
		}
		result <- o.endOrphans(time.Now().Add(20 * time.Millisecond))
	}()
	if err := <-result; err == nil || !strings.Contains(err.Error(), strconv.Itoa(pid)) || !alive(pid) {
		t.Error(err)
	}
}
