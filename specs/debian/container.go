// Package debian tries the Debian package on a Debian of its own: a small root file system, booted by
// systemd-nspawn with a network of its own.
//
// "make package-test" builds the package and runs the tests, which need root, debootstrap and systemd-nspawn.
package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// packages are what a container has beside the smallest Debian.
const packages = "systemd,systemd-sysv,dbus,logrotate,curl,openssl"

// Container is a booted Debian.
type Container struct {
	// Root is its file system.
	Root string

	nspawn *exec.Cmd
	exited chan error
	leader string // the id of its first process, outside
}

// Boot boots a copy of the tree that base is the archive of. It makes base if that is missing.
func Boot(ctx context.Context, base, root string) (*Container, error) {
	if _, err := os.Stat(base); err != nil {
		if err := makeBase(ctx, base); err != nil {
			return nil, err
		}
	}
	if err := run(ctx, "tar", "--extract", "--numeric-owner", "--file", base, "--directory", root); err != nil {
		return nil, err
	}
	c := &Container{Root: root, exited: make(chan error, 1)}
	c.nspawn = exec.Command("systemd-nspawn", "--quiet", "--directory", root, "--boot", "--console=pipe",
		"--private-network", "--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off")
	if err := c.nspawn.Start(); err != nil {
		return nil, err
	}
	go func() { c.exited <- c.nspawn.Wait() }()
	return c, c.await(ctx)
}

// makeBase makes the archive of a small Debian of this machine's release.
func makeBase(ctx context.Context, base string) error {
	release, err := exec.CommandContext(ctx, "sh", "-c", `. /etc/os-release && printf %s "$VERSION_CODENAME"`).Output()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "debian")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // it becomes the mode of the root
		return err
	}
	if err := run(ctx, "debootstrap", "--variant=minbase", "--include="+packages, string(release), dir); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "var/cache/apt")), os.MkdirAll(filepath.Dir(base), 0o755)); err != nil {
		return err
	}
	part := base + ".part"
	return errors.Join(run(ctx, "tar", "--create", "--numeric-owner", "--one-file-system", "--file", part, "--directory", dir, "."),
		os.Rename(part, base))
}

// run runs a command. Its error has the command's output.
func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %.2000s", name, err, out)
	}
	return nil
}

// await waits until the container's services have started.
func (c *Container) await(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), c.Stop())
		case err := <-c.exited:
			c.exited <- err
			return fmt.Errorf("the container ended while it booted: %w", err)
		case <-tick.C:
		}
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.nspawn.Process.Pid))
		if c.leader = strings.TrimSpace(string(children)); c.leader == "" || strings.Contains(c.leader, " ") {
			continue
		}
		// "degraded": a unit failed that does not work in containers.
		state, _ := c.Command(ctx, "systemctl", "is-system-running", "--wait").Output()
		if s := strings.TrimSpace(string(state)); s == "running" || s == "degraded" {
			return nil
		}
	}
}

// Command returns a command that runs in the container, as root.
func (c *Container) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{
		"--target", c.leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--",
		"sh", "-c", `cd /root && exec "$0" "$@"`,
	}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

// Sh runs a shell command in the container, and returns what it prints.
func (c *Container) Sh(ctx context.Context, command string) (string, error) {
	cmd := c.Command(ctx, "bash", "-c", "set -o pipefail\n"+command)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w:\n%s", command, err, out.String())
	}
	return out.String(), nil
}

// Stop ends the container, and all that runs in it.
func (c *Container) Stop() error {
	_ = c.nspawn.Process.Signal(syscall.SIGTERM) // it kills the container's first process
	select {
	case <-c.exited:
		return nil
	case <-time.After(10 * time.Second):
		return errors.Join(errors.New("the container did not end by itself"), c.nspawn.Process.Kill(), <-c.exited)
	}
}
