// Package joint joins a client to a backend. [Stream.Run] does it in counted pieces, for STREAM, and [Stream.Raw] with
// raw bytes, for OPEN, as README.md of package protocol describes. [Discard] reads what a client still sends after an
// early end.
//
// # Who does what in a STREAM
//
// The client's goroutine reads the client all the time, into a [queue] for the backend. It never waits for a write,
// because a client that sends may not read. Three more goroutines write to the backend, read the backend and write its
// pieces, and write notices and answers to PING. The last two take turns, so everything comes between pieces. A
// fourth stops the others when the stream is over.
//
// The first of them that ends the stream gives the reason. The earlier output of the backend is still delivered.
package joint

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/sallyport/sallyport/protocol"
)

// What a backend can do beside Read, Write and Close. Close is called once, after Reset where that is called, and
// ends a Read and a Write. Each other method may be called during a Read and a Write.
//
// A Read returns io.EOF at the end of the backend's direction. A Write to a backend that has ended and needs no more
// input, such as a process that has exited, returns no error.
type (
	// HalfCloser ends the client's direction. A stream to a backend without it, or whose CloseWrite returns
	// errors.ErrUnsupported, ends with the client's direction.
	HalfCloser interface{ CloseWrite() error }
	// Resetter makes the backend see that the stream has not ended well. Without it a TCP connection is reset, and
	// any other closed.
	Resetter interface{ Reset() error }
	// TryWriter writes as much as the backend takes without waiting, and returns how much. After an error that is 0,
	// and the next Write returns the error. It is not called during a Write.
	TryWriter interface{ TryWrite(p []byte) int }
	// Breaker sends a break on a serial line.
	Breaker interface{ Break() error }
	// LineSetter sets the speed and the form of a serial line: "7E1".
	LineSetter interface {
		SetLine(speed int, form string) error
	}
	// WindowSetter sets the size of a terminal.
	WindowSetter interface{ SetWindow(columns, rows int) error }
	// Keeper is a backend that stays open between streams. What it says is no activity.
	Keeper interface{ Kept() bool }
	// Backlogger returns the output before the stream of a backend that stays open. A STREAM begins with it. Read
	// returns what follows.
	Backlogger interface{ Backlog() []byte }
	// Impatient is a backend that gives up a client that is too slow. Late is closed then, and the stream fails.
	Impatient interface{ Late() <-chan struct{} }
)

// Source is what a client sends.
type Source interface {
	// ReadLine and Read are those of protocol.Reader.
	ReadLine() ([]byte, error)
	Read(p []byte) (int, error)
}

// Client is the connection to a client. One goroutine reads and another writes, one at a time each.
type Client interface {
	Source
	// Unread makes the line that ReadLine has returned the next one again.
	Unread(line []byte)
	// Wait returns how the client has left, or nil after Stop.
	Wait() error
	// Stop ends ReadLine, Read and Wait, now and later.
	Stop()
	// Send writes a whole piece at once.
	Send(p []byte) error
	// Notify writes the notices that the client is owed. A raw stream has none.
	Notify() error
	// CloseWrite ends TLS to the client, and Leave waits until the client ends TCP (io.EOF). Raw streams alone need
	// them.
	CloseWrite() error
	Leave() error
}

// Errors of End.
var (
	ErrBackend  = errors.New("joint: the backend failed")
	ErrSequence = errors.New("joint: a line that has no place in a stream")
	// ErrLate is an ErrBackend that is the client's fault: see Impatient.
	ErrLate = errors.New("joint: the client has taken nothing for too long")
)

// IsMistake reports whether an error is a mistake of the client: ErrSequence or protocol.ErrArgument.
func IsMistake(err error) bool {
	return errors.Is(err, ErrSequence) || errors.Is(err, protocol.ErrArgument)
}

// Stream joins Client to Backend, once. All fields are required but Passed and MayWrite, and for Raw but Last.
type Stream struct {
	Client  Client
	Backend io.ReadWriteCloser
	// News gets a value when the client may be owed a notice.
	News <-chan struct{}
	// Active is called for each activity: bytes in either direction, PING ACTIVE.
	Active func()
	// Passed gets the bytes before they go on. The direction is "in" or "out". An error ends the stream.
	Passed func(direction string, p []byte) error
	// MayWrite is called before each write to the backend and before the end of its input. An error ends the stream. Nil allows every write.
	MayWrite func() error
	// Refused gets the first error of a Breaker, of a LineSetter and of a WindowSetter.
	Refused func(err error)
	// Stuck is called, once, if a call of the backend goes on 5 s after the stream has begun to close the backend.
	Stuck func()
	// Safely calls f, which calls the backend, and turns a panic into an error.
	Safely func(f func() error) error
	// Last tells the client that it has to go: ctx has ended, or the stream has reached one of its Limits. The backend
	// is still open, and nothing is written after Last.
	Last   func(end End)
	Limits Limits

	calls atomic.Int32 // of the backend, that go on
}

// End says how a stream has ended.
type End struct {
	// Err is nil if the reply is a 250: both directions have ended, or the client has aborted. Otherwise it is
	// ErrBackend, a mistake of the client, an error of Client, or the cause of the context.
	Err error
	// In and Out are the bytes that the backend took and gave.
	In, Out int64
	// Ended reports whether the client has ended its direction. If not, it may still send Rest bytes of its last
	// piece and others: see Discard.
	Ended bool
	Rest  int
}
