//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// touchVerb makes this program the COMMAND of hold, which uses the device itself.
const touchVerb = "-touch"

// holds reports whether a visitor is "sallyport hold".
func (v *visitor) holds() bool { return v.number%5 == 4 }

// hold runs a COMMAND with the seat. The command drives the device past the gate.
func (v *visitor) hold(ctx context.Context, a *attempt) error {
	g, length := v.w.gates[a.gate], v.length()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{
		v.w.bin, "hold", "--addr", g.addr, "--ca", filepath.Join(g.dir, "ca.pem"), "--user", v.user(),
		"--password-file", v.w.passwordFile(), "--", self, touchVerb, v.w.device.path, a.id, length.String(),
	}
	if v.w.cables.space != "" {
		args = append([]string{"ip", "netns", "exec", v.w.cables.space}, args...)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + v.w.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(syscall.SIGTERM) }, 20*time.Second
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		v.update(a, func() { a.seated, a.until = time.Now(), time.Now().Add(length) })
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (w *world) passwordFile() string { return filepath.Join(w.dir, "password") }

// touch is the COMMAND.
func touch(device, id, length string) int {
	conn, err := net.Dial("unix", device)
	long, parseErr := time.ParseDuration(length)
	if err = errors.Join(err, parseErr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("seated")
	counter := 0
	for end := time.Now().Add(long); time.Now().Before(end) && err == nil; counter++ {
		_, err = fmt.Fprintf(conn, "%s %08d\n", id, counter)
		<-time.After(beat)
	}
	return 0
}
