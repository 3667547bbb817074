package admission

import (
	"context"

	"github.com/sallyport/sallyport/protocol/capability"
)

// Shared is a seat that several servers share. One client of all these servers has the seat, and the others wait in one
// queue. A Shared is safe for concurrent use.
type Shared interface {
	// Enter gives a client the last place in the queue. The end of ctx, the client's context, ends the call. The error
	// is a *protocol.ReplyError with the reply to the client.
	Enter(ctx context.Context, c Client) (Place, error)
	// Status returns who has the seat, and how many clients of all servers wait for it.
	Status() capability.Status
}

// Client is a client that asks for a shared seat.
type Client struct {
	// User is the prepared name (RFC 4013) of the user, and Conn the connection's id in the log.
	User, Conn string
	// Rules are the rules of the client's server. NoWait means that the client does not wait for the seat.
	Rules  Rules
	NoWait bool
	// Changed is called when the client's position has changed. For the holder it is called when the queue has changed.
	// Evict is called if the client must leave its place: text is the message to the client, and by names the evictor.
	// Both must not block, and may be called before Enter returns.
	Changed func()
	Evict   func(by, text string)
}

// Place is a client's place in the queue of a shared seat. Its methods do not wait.
type Place interface {
	// Position returns 0 if the client has the seat, and 1 if the client is next. holder is the user who has the seat,
	// or empty.
	Position() (n int, holder string)
	// Token returns the fencing token of a client that has the seat. Each later holder has a greater token.
	Token() int64
	// Check returns an error if another client may have the place by now.
	Check() error
	// Leave gives the place back. Call it once.
	Leave()
}
