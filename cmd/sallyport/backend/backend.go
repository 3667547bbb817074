// Package backend connects to what a server guards: a TCP or Unix-socket service, a serial device, or a command. Use
// [Parse] once and [Backend.Open] for each stream.
//
// What Open returns has some of the optional methods of package joint of the server:
//
//   - A TCP or Unix-socket service has CloseWrite and Reset.
//   - A serial device has Reset, Break and SetLine.
//   - A command with pipes has CloseWrite, and a command on a terminal SetWindow.
//
// Close ends a Read and a Write. For a command it returns when all processes that the command has started have ended.
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

// Options are settings of a backend. The zero value is ready to use.
type Options struct {
	// User is the user that a command runs as, which needs root. Empty means the user of this process.
	User string
	// Timeout bounds Open. Zero means 10 s.
	Timeout time.Duration
}

// Backend opens a backend, again and again, one stream at a time. Set Log and Stderr before the first Open.
type Backend struct {
	// Log gets messages for the operator: a serial device has vanished or is back, a command has failed. Nil
	// discards them.
	Log *slog.Logger
	// Stderr gets the lines of a command's standard error, one in each Write. Nil discards them.
	Stderr io.Writer

	timeout time.Duration
	opener  opener
}

// opener is a form of a backend.
type opener interface {
	// open connects.
	open(ctx context.Context, who Client) (io.ReadWriteCloser, error)
	// check returns the error that open would return now, as far as it can know it.
	check(ctx context.Context) error
}

// Client is the client that a connection is for.
type Client struct {
	// User is the prepared name (RFC 4013), and Conn the connection's id in the log.
	User, Conn string
	// Token is the fencing token of a session whose seat gates share, and zero for any other.
	Token int64
}

// checkTime bounds Check.
const checkTime = 2 * time.Second

// Parse reads the forms tcp:HOST:PORT, unix:PATH, serial:DEVICE,SPEED,FORM with ",rtscts" or not, exec:COMMAND and
// pty:COMMAND. Its error is a UsageError.
func Parse(spec string, o Options) (*Backend, error) {
	b := &Backend{timeout: cmp.Or(o.Timeout, 10*time.Second)}
	kind, rest, _ := strings.Cut(spec, ":")
	isCommand := kind == "exec" || kind == "pty"
	if strings.TrimSpace(rest) == "" {
		kind = ""
	}
	if o.User != "" && !isCommand {
		return nil, usagef("--backend-user is for exec: and pty:, which run a command: leave it out with %q", spec)
	}
	var err error
	switch kind {
	case "tcp", "unix":
		b.opener, err = parseSocket(kind, rest)
	case "serial":
		b.opener, err = parseSerial(b, rest)
	case "exec", "pty":
		b.opener, err = parseCommand(b, rest, kind == "pty", o.User)
	default:
		if strings.HasPrefix(spec, "/dev/") {
			return nil, usagef("--backend: for a serial device say its speed and form too, as in --backend serial:%s,115200,8N1", spec)
		}
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

// Check opens the backend once and closes it, but does not run a command. It takes 2 s at most. A UsageError means that
// no later Open can succeed.
func (b *Backend) Check() error {
	ctx, cancel := context.WithTimeout(context.Background(), min(checkTime, b.timeout))
	defer cancel()
	return b.opener.check(ctx)
}

// Open connects for a client.
func (b *Backend) Open(ctx context.Context, who Client) (io.ReadWriteCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.opener.open(ctx, who)
}

// RunsAsServer reports whether the backend is a command that can read and write the files of this process: its user is
// the same, or root.
func (b *Backend) RunsAsServer() bool {
	c, ok := b.opener.(*command)
	return ok && c.owner.isServer()
}

// checkByOpening opens and closes.
func checkByOpening(ctx context.Context, o opener) error {
	stream, err := o.open(ctx, Client{})
	if err != nil {
		return err
	}
	return stream.Close()
}

// Line returns the speed and the form of a serial backend as it is opened. Any other backend has speed 0.
func (b *Backend) Line() (speed int, form string) {
	if d, ok := b.opener.(*serialDevice); ok {
		return d.mode.BaudRate, formText(d.mode)
	}
	return 0, ""
}
