package shepherd

import "os"

// Command is a command that a server runs as its backend, one at a time. The command has an environment, a session and,
// with Owner, a user of its own. Of the server's descriptors it has only these three. On Linux the command also ends
// if the server is killed.
type Command struct {
	Args []string `json:"-"`
	// Env is the whole environment.
	Env []string
	// Dir is the working directory. Empty means that of this process.
	Dir string
	// Terminal means that Stdin, Stdout and Stderr are a terminal, which shall control the command's session.
	Terminal bool
	// Owner is the user of the command. Nil means that of this process.
	Owner *Owner

	Stdin, Stdout, Stderr *os.File `json:"-"`
}

// Owner is a user. Only root can run a command for another one.
type Owner struct {
	UID, GID uint32
	Groups   []uint32
}
