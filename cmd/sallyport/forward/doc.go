// Package forward is a local port for programs that know a host and a port, and nothing of Sallyport. Each local
// connection is joined to the server's backend by a stream, one after another.
//
// [Listen] opens a [Port]. A [Forwarder] serves it with a seat for each local connection ([Forwarder.Each]) or with
// one seat for all ([Forwarder.Keep]). A program that has the seat already serves it with [Port.Serve].
//
// A local program can tell a good end from a bad one. The backend's end is the end of its input. When the seat is
// lost, never comes, or the backend breaks, the program gets the rest of the backend's output, for at most 2 s, and then a
// reset. It also gets a reset if this process is killed. A Unix socket has no reset: it is closed.
//
// A program may end its direction first and wait for the answer, or end both at once and leave. Only Linux, and
// only for programs on this machine, shows which of the two happened. Elsewhere a program that has left is found when
// something is sent to it, or by keep-alive.
package forward

import (
	"errors"
	"time"
)

const (
	// maxWaiting is how many local connections may wait for the seat. Nothing is read from them.
	maxWaiting = 16
	// lastWords bounds how long a local program may read the rest of the output when its stream has failed.
	lastWords = 2 * time.Second
	// grace is for a program that has left: if the seat comes in that time, the program's input goes to the backend, and
	// the backend has that time to end.
	grace = 5 * time.Second
	// lookEvery is the time between two looks at a program that may have left. There is no event for it.
	lookEvery = 100 * time.Millisecond
	// QuitTime bounds how long giving the seat back may take.
	QuitTime = 5 * time.Second
)

// Errors that end a local connection.
var (
	// ErrNoStream means that no local connection can be served.
	ErrNoStream = errors.New("this server has no --backend, or is too old for forward: it doesn't know STREAM")
	errLeft     = errors.New("the local program has left")
)

// Say shows a line to the user. It must not block.
type Say func(format string, arguments ...any)
