package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/user"
	"strconv"

	"github.com/sallyport/sallyport/cmd/sallyport/shepherd"
)

// Search paths of login(1), for root and for others.
const (
	rootPath  = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	otherPath = "/usr/local/bin:/usr/bin:/bin"
)

// Values of TERM. The server does not know the client's terminal, and most understand the sequences of xterm.
const (
	noTerminal  = "dumb"
	anyTerminal = "xterm-256color"
)

// command is a command that is run for each client.
type command struct {
	b        *Backend
	text     string
	terminal bool
	owner    *owner // nil: the user of this process
}

func parseCommand(b *Backend, text string, terminal bool, user string) (opener, error) {
	c := &command{b: b, text: text, terminal: terminal}
	switch {
	case terminal && !hasPTY:
		return nil, usagef("--backend pty: works on Linux and macOS alone")
	case !hasShell:
		return nil, usagef("--backend exec: needs /bin/sh, which this system does not have")
	case user == "":
		return c, nil
	}
	var err error
	c.owner, err = findOwner(user)
	return c, err
}

// check does not run the command, which may act on the world.
func (c *command) check(context.Context) error {
	_, err := os.Stat(shell)
	return err
}

const shell = "/bin/sh"

// prepare returns the process for a client, without its descriptors.
func (c *command) prepare(who Client) *shepherd.Command {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/"
	}
	path, lang, term := os.Getenv("PATH"), os.Getenv("LANG"), noTerminal
	if path == "" {
		path = otherPath
	}
	if lang == "" {
		lang = "C.UTF-8"
	}
	if c.terminal {
		term = anyTerminal
	}
	p := &shepherd.Command{Args: []string{shell, "-c", c.text}, Terminal: c.terminal}
	if c.owner != nil {
		home, path = c.owner.home, c.owner.path()
		p.Owner, p.Dir = &c.owner.Owner, c.owner.directory()
	}
	p.Env = []string{
		"PATH=" + path, "HOME=" + home, "LANG=" + lang, "TERM=" + term,
		"SALLYPORT_USER=" + who.User, "SALLYPORT_CONN=" + who.Conn,
	}
	if who.Token != 0 {
		p.Env = append(p.Env, "SALLYPORT_TOKEN="+strconv.FormatInt(who.Token, 10))
	}
	return p
}

// owner is the user of a command.
type owner struct {
	shepherd.Owner
	home string
}

// findOwner looks up --backend-user.
func findOwner(name string) (*owner, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, usagef("--backend-user: there is no user %q on this machine", name)
	}
	if os.Geteuid() != 0 {
		return nil, usagef("--backend-user: only root can run commands as %q: start serve as root, or leave it out", name)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, usagef("--backend-user: the groups of %q are not known: %v", name, err)
	}
	o := &owner{home: u.HomeDir}
	o.UID, err = parseID(u.Uid)
	gid, gidErr := parseID(u.Gid)
	o.GID, err = gid, errors.Join(err, gidErr)
	for _, group := range groups {
		id, idErr := parseID(group)
		o.Groups, err = append(o.Groups, id), errors.Join(err, idErr)
	}
	if err != nil {
		return nil, usagef("--backend-user: the ids of %q are no numbers: %v", name, err)
	}
	return o, nil
}

// parseID reads a user or group id. It refuses the greatest number, which means "no change" to chown(2).
func parseID(s string) (uint32, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	if err == nil && id == math.MaxUint32 {
		err = fmt.Errorf("%s is no id", s)
	}
	return uint32(id), err
}

// isServer reports whether the user can do all that the server can.
func (o *owner) isServer() bool { return o == nil || o.UID == 0 }

func (o *owner) path() string {
	if o.UID == 0 {
		return rootPath
	}
	return otherPath
}

// directory returns the home directory, or the root directory without one.
func (o *owner) directory() string {
	if info, err := os.Stat(o.home); err == nil && info.IsDir() {
		return o.home
	}
	return "/"
}

func (c *command) open(_ context.Context, who Client) (io.ReadWriteCloser, error) {
	p := c.prepare(who)
	if c.terminal {
		return c.openPTY(p)
	}
	return c.openPipes(p)
}
