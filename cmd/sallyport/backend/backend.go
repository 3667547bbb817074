// Package backend connects to what a server guards: a TCP or Unix-socket service, a serial device, or a command. See
// [Parse] for the forms. [Backend.Open] fits server.Server.Backend, and so do the optional methods of what it returns:
//
//   - CloseWrite() error ends the direction to the backend: TCP, Unix sockets, and the input of a command.
//   - Reset() error gives up what is under way in both directions: TCP, Unix sockets, and serial devices.
//   - Break() error and SetLine(speed int, form string) error: serial devices.
//   - SetWindow(columns, rows int) error: a command on a terminal.
//
// Close unblocks Read and Write. For a command it returns when all that it has started has ended.
package backend

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// UsageError is an error that lasts until the operator gives other flags.
type UsageError string

func (e UsageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return UsageError(fmt.Sprintf(format, args...)) }

// Options are how to reach a backend. The zero value is ready to use.
type Options struct {
	// User is whom a command runs as. Empty means the user of this process, and another one needs root.
	User string
	// Timeout bounds connecting. Zero means 10 s.
	Timeout time.Duration
}

// Backend is a backend that can be connected to, again and again. Set Log and Stderr before the first Open.
type Backend struct {
	// Log gets what the operator should know: a device that has vanished and is back, a command that failed. Nil
	// discards it.
	Log *slog.Logger
	// Stderr gets each line of a command's standard error in one Write. Nil discards them.
	Stderr io.Writer

	timeout time.Duration
	way     way
}

// way is a kind of backend.
type way interface {
	// open connects.
	open(ctx context.Context, c client) (io.ReadWriteCloser, error)
	// check reports whether open would fail now.
	check(ctx context.Context) error
}

// client is for whom a connection is: the name and the connection's id in the log.
type client struct{ user, conn string }

// checkTime bounds Check.
const checkTime = 2 * time.Second

// Parse reads the forms tcp:HOST:PORT, unix:PATH, serial:DEVICE,SPEED,FORM with ",rtscts" or not, exec:COMMAND and
// pty:COMMAND. Its error is a UsageError.
func Parse(spec string, o Options) (*Backend, error) {
	b := &Backend{timeout: cmp.Or(o.Timeout, 10*time.Second)}
	kind, rest, _ := strings.Cut(spec, ":")
	isCommand := kind == "exec" || kind == "pty"
	if rest == "" {
		kind = ""
	}
	if o.User != "" && !isCommand {
		return nil, usagef("--backend-user is for exec: and pty:, which run a command: leave it out with %q", spec)
	}
	var err error
	switch kind {
	case "tcp", "unix":
		b.way, err = parseSocket(kind, rest)
	case "serial":
		b.way, err = parseSerial(b, rest)
	case "exec", "pty":
		b.way, err = parseCommand(b, rest, kind == "pty", o.User)
	default:
		err = usagef("--backend is tcp:HOST:PORT, unix:PATH, serial:DEVICE,115200,8N1, exec:COMMAND or pty:COMMAND, not %q", spec)
	}
	return b, err
}

func (b *Backend) log() *slog.Logger {
	if b.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return b.Log
}

// Check connects once and closes, except to a command, which it does not run. It takes 2 s at most. A UsageError means
// that the backend can't be what the flags say.
func (b *Backend) Check() error {
	ctx, cancel := context.WithTimeout(context.Background(), min(checkTime, b.timeout))
	defer cancel()
	return b.way.check(ctx)
}

// Open connects for a user and a connection's id.
func (b *Backend) Open(ctx context.Context, user, conn string) (io.ReadWriteCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.way.open(ctx, client{user, conn})
}

// RunsAsServer reports whether a command runs as the user of this process, or as root, who both can read and write
// what is the server's.
func (b *Backend) RunsAsServer() bool {
	c, ok := b.way.(*command)
	return ok && c.owner.isServer()
}

// checkByOpening is check for what may be opened without a client.
func checkByOpening(ctx context.Context, w way) error {
	stream, err := w.open(ctx, client{})
	if err != nil {
		return err
	}
	return stream.Close()
}
