package shepherd

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// variable is the name of the variable that has the Command as JSON, in the environment of the shepherd.
const variable = "SALLYPORT_SHEPHERD"

// Start starts the command under a shepherd. The session of the shepherd has no terminal.
func (c *Command) Start() (*Process, error) {
	how, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	p := &Process{job: job{cmd: exec.Command("/proc/self/exe", supervised(ofServer, c.Args)...)}}
	p.cmd.Env = append(os.Environ(), variable+"="+string(how))
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return p, p.start(time.Time{})
}

// howToRun returns how the shepherd starts its command.
func howToRun(mode string) (*syscall.ProcAttr, error) {
	if mode != ofServer {
		return &syscall.ProcAttr{Env: os.Environ(), Sys: &syscall.SysProcAttr{}}, nil
	}
	c := &Command{}
	if err := json.Unmarshal([]byte(os.Getenv(variable)), c); err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	return c.attributes(), closeInCommand()
}

// closeInCommand sets close-on-exec for all descriptors but input, output and error. The server may have inherited some
// without it.
func closeInCommand() error {
	names, err := os.ReadDir("/proc/self/fd")
	for _, name := range names {
		if fd, err := strconv.Atoi(name.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	return err
}

// leaveInputAndOutput closes the shepherd's descriptors of the command's input and output, so that the server notices
// when the command closes them.
func leaveInputAndOutput() {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(null)
	for fd := range 2 {
		_ = unix.Dup3(null, fd, 0)
	}
}
