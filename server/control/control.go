// Package control is the operator's interface to a running server: it shows who has the seat, evicts clients, reloads
// and stops the server. It is HTTP with JSON bodies over a Unix socket that only the server's user and root can open.
// A server makes the socket with [Listen] and serves it with [Server.Serve]. A command asks with a [Client].
//
// # Requests
//
//	GET  /v1/status                                       the Status
//	POST /v1/evict  {"user": "bob", "reason": "lunch"}    the Evicted: all clients of that user, or of that "conn"; without
//	                                                      both the holder, and an empty one of them is refused
//	POST /v1/reload                                       {} when certificate, users and log are reloaded
//	POST /v1/stop   {"now": false}                        Stopped, at once; the shutdown follows
//
// A refused request is answered with {"error": "a sentence", "reason": "one word"}, see [Error]. Fields and words
// stay as they are within /v1, but others may be added.
//
// # Who asks
//
// The kernel says which user is at the other end (SO_PEERCRED on Linux, LOCAL_PEERCRED on macOS). The event operator
// of the interaction log has the name, and so has the reply to a client that is evicted.
//
// # What a request waits for
//
// No request waits for a handler or a client. Only a reload waits for a disk, for at most 20 s. If the disk of the log
// does not answer within 50 ms, Status has the last known state of the log, and for how long it has been stuck. A benchmark
// (go test -bench Status) shows that an answer takes less than 100 ms, whatever the seat does.
package control

import (
	"fmt"
	"time"
)

const (
	pathStatus = "/v1/status"
	pathEvict  = "/v1/evict"
	pathReload = "/v1/reload"
	pathStop   = "/v1/stop"

	// maxBody bounds the body of a request, maxReply that of a reply, and maxReason the reason of an eviction.
	maxBody   = 16 << 10
	maxReply  = 4 << 20
	maxReason = 500
	// patience is how long a request waits for the disk of the log, or for the name of the one who asks.
	patience = 50 * time.Millisecond
	// reloadTime is how long a request waits for a reload.
	reloadTime = 20 * time.Second
	// requestTime is how long a client may take to send a request, and to read the reply.
	requestTime = 5 * time.Second
)

// Status is the state of a server. Times are RFC 3339, durations are seconds, sizes are bytes.
type Status struct {
	About
	// Started is when the server started, and Uptime how long ago that was.
	Started time.Time `json:"started"`
	Uptime  float64   `json:"uptime"`
	// Stopping means that the shutdown has begun.
	Stopping bool `json:"stopping"`
	// Holder has the seat. Nil means that the seat is free.
	Holder *Holder `json:"holder"`
	// Waiting are the clients in the queue, the next one first. QueueLength is their number.
	Waiting     []Person `json:"waiting"`
	QueueLength int      `json:"queue_length"`
	// Watching is the number of clients that watch the backend.
	Watching int `json:"watching"`
	// Served is the number of sessions so far, the holder's included.
	Served int `json:"served"`
	// Lobby is the number of connections before their login.
	Lobby int `json:"lobby"`
	// Penalised is the number of sources that are kept out now.
	Penalised int `json:"penalised"`
	// Refused is the number of connections that were refused so far, by the reason in the log.
	Refused map[string]int `json:"refused"`
	Log     Log            `json:"log"`
}

// About is the part of Status that changes seldom.
type About struct {
	Version   string `json:"version"`
	PID       int    `json:"pid"`
	Listen    string `json:"listen"`
	State     string `json:"state"`
	Admission string `json:"admission"`
	// Backend is what STREAM and OPEN reach. Nil means that there is none.
	Backend     *Backend    `json:"backend"`
	Certificate Certificate `json:"certificate"`
	Limits      Limits      `json:"limits"`
	// Fleet is what the server knows of the fleet. Nil means that it is in none.
	Fleet *Fleet `json:"fleet,omitempty"`
}

// Fleet is the server's place in a fleet, whose directory is in etcd.
type Fleet struct {
	Rig string `json:"rig"`
	// Up means that the server is in the directory. Since is when that changed, and Error why it is not.
	Up    bool      `json:"up"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"`
	// Shared means that all servers of this rig share one seat. Holder is the user who has it, at any of them, HolderAt
	// the address of that one, and HolderSince when the session began. QueueLength counts the queue of all of them.
	Shared      bool      `json:"shared"`
	Holder      string    `json:"holder,omitempty"`
	HolderAt    string    `json:"holder_at,omitempty"`
	HolderSince time.Time `json:"holder_since,omitzero"`
	QueueLength int       `json:"queue_length"`
	// NoLease is the key in etcd of a place in the queue that is no server's and stays there, quoted for a shell if it needs
	// that. Empty means that there is no such place.
	NoLease string `json:"no_lease,omitempty"`
}

// Elsewhere returns what is known of the holder if that is a client of another server of the fleet, or nil.
func (s Status) Elsewhere() *Fleet {
	if s.Holder != nil || s.Fleet == nil || s.Fleet.Holder == "" {
		return nil
	}
	return s.Fleet
}

// Gate names the gate whose client has the seat. A place that somebody has written by hand has no gate.
func (f Fleet) Gate() string {
	switch {
	case f.HolderAt != "":
		return "the gate " + f.HolderAt
	case f.NoLease != "":
		return "no gate"
	}
	return "another gate"
}

// Person is a client that has logged in.
type Person struct {
	User   string `json:"user"`
	Conn   string `json:"conn"` // the connection's id in the log
	Remote string `json:"remote"`
	// Since is when the client got the seat, or began to wait or watch, and Seconds how long ago that was.
	Since   time.Time `json:"since"`
	Seconds float64   `json:"seconds"`
}

// Holder is the client that has the seat.
type Holder struct {
	Person
	// Idle is the time since its last activity, which ends the session when it reaches Limits.Idle.
	Idle float64 `json:"idle"`
	// Requests is the number of requests so far. Running is the verb of the running one, empty for none.
	Requests int    `json:"requests"`
	Running  string `json:"running"`
}

// Backend is what the server guards.
type Backend struct {
	Spec string `json:"spec"`
	// Kept means that it is kept open between sessions.
	Kept bool `json:"kept"`
	// Down is why a kept backend is not open. Empty means that it is open, or not known.
	Down string `json:"down"`
}

// Certificate is the one that the server shows.
type Certificate struct {
	Names []string  `json:"names"`
	Ends  time.Time `json:"ends"`
	// Days are the whole days that are left, negative after the end.
	Days int `json:"days"`
}

// Limits are the server's limits. Zero means no limit.
type Limits struct {
	Idle           float64 `json:"idle"`
	Session        float64 `json:"session"`
	Request        float64 `json:"request"`
	QueueWait      float64 `json:"queue_wait"`
	QueueDepth     int     `json:"queue_depth"`
	QueuePerUser   int     `json:"queue_per_user"`
	Lobby          int     `json:"lobby"`
	LobbyPerSource int     `json:"lobby_per_source"`
	Body           int64   `json:"body"`
	ShutdownGrace  float64 `json:"shutdown_grace"`
}

// Log is the state of the interaction log.
type Log struct {
	Path string `json:"path"`
	// Head is the chain value of the last line, and Size the length of the file.
	Head string `json:"head"`
	Size int64  `json:"size"`
	// Free is the free space on its disk, -1 if it is not known.
	Free int64 `json:"free"`
	// Failing means that the last record could not be written.
	Failing bool `json:"failing"`
	// Stuck is how long the disk has not answered. Zero means that it answers. While it is stuck the rest is as it was
	// before.
	Stuck float64 `json:"stuck"`
}

// Eviction says who must leave. The zero Eviction is the holder.
type Eviction struct {
	// User is the name of a user, all of whose clients leave: in the seat, in the queue, and those who watch.
	User string `json:"user,omitempty"`
	// Conn is the id of one connection.
	Conn string `json:"conn,omitempty"`
	// Reason is for the client. It is one line of at most 500 bytes. Empty means that the operator ended the session.
	Reason string `json:"reason"`
}

// Evicted are the clients that have to leave.
type Evicted struct {
	Evicted []Person `json:"evicted"`
	By      string   `json:"by"`
}

// Stopped is the answer to a stop.
type Stopped struct {
	// Grace is how long the running request may go on.
	Grace float64 `json:"grace"`
}

// Reasons of an [Error].
const (
	ReasonNoClient = "no-client" // no client to evict
	ReasonArgument = "argument"  // the request is malformed, or its reason is no line
	ReasonUnknown  = "unknown"   // there is no such request, for example because the server is too old for it
	ReasonFailed   = "failed"    // the reload failed
	ReasonTimeout  = "timeout"   // the reload has not ended in time, and may end later
)

// Error is the answer to a refused request.
type Error struct {
	Text   string `json:"error"`
	Reason string `json:"reason"`
}

func (e *Error) Error() string { return fmt.Sprintf("control: %s", e.Text) }
