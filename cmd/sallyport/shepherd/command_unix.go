//go:build unix

package shepherd

import "syscall"

// attributes returns how to start a command.
func (c *Command) attributes() *syscall.ProcAttr {
	sys := &syscall.SysProcAttr{}
	if c.Terminal {
		sys.Setsid, sys.Setctty = true, true // Ctty is standard input
	}
	if c.Owner != nil {
		sys.Credential = &syscall.Credential{Uid: c.Owner.UID, Gid: c.Owner.GID, Groups: c.Owner.Groups}
	}
	return &syscall.ProcAttr{Env: c.Env, Dir: c.Dir, Sys: sys}
}
