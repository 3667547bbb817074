package admission

import (
	"context"

	"github.com/sallyport/sallyport/protocol/capability"
)

// Shared is a seat that several servers share. One client of all their clients has it, and there is one queue.
type Shared interface {
	// Enter gives a client the next place in the queue. The context is the client's. An error is a
	// *protocol.ReplyError with the reply to the client.
	Enter(ctx context.Context, c Client) (Place, error)
	// Status returns who has the seat, and how many clients wait for it, in all servers.
	Status() capability.Status
}

// Client is a client that asks for a shared seat.
type Client struct {
	// User is the prepared name (RFC 4013) of the user, and Conn the connection's id in the log.
	User, Conn string
	// Rules are those of the client's server. NoWait means that the client does not wait for the seat.
	Rules  Rules
	NoWait bool
	// Changed is called when the position has changed, and for the holder when the queue has. Evict is called if the
	// client has to leave its place: text is for the client, and by is who evicts it. Neither waits, and both may be
	// called before Enter returns.
	Changed func()
	Evict   func(by, text string)
}

// Place is a client's place in the queue of a shared seat. Its methods do not wait.
type Place interface {
	// Position is 0 if the client has the seat, 1 if it is next. holder is the user who has the seat.
	Position() (n int, holder string)
	// Token is the fencing token of a client that has the seat. Each later holder has a greater one.
	Token() int64
	// Check returns an error if another client may have the seat.
	Check() error
	// Leave gives the place back. It is called once.
	Leave()
}
