// Package admission has the policies for a client that has logged in while the seat is taken: [Queue], [Reject] and
// [Takeover]. It also has the interface of a seat that several servers share, [Shared].
package admission

import (
	"cmp"
	"time"
)

// Policy is [Queue], [Reject] or [Takeover].
type Policy interface {
	// Rules returns the rules of a server that ends an idle session after idle. Negative means never.
	Rules(idle time.Duration) Rules
}

// Queue lets clients wait, first come first served.
type Queue struct {
	// Depth is the maximum number of waiting clients. Zero means 16.
	Depth int
	// PerUser is the maximum number of waiting clients of one user. The seat does not count. Zero means 2.
	PerUser int
	// Wait is the maximum time that a client waits. Zero means 2 minutes more than Limits.Idle of the server, so that a
	// waiting client outlasts an idle holder. Negative means no limit.
	Wait time.Duration
}

// Reject refuses clients: "421 busy".
type Reject struct{}

// Takeover evicts the holder ("421 evicted") and gives the seat to the newcomer, after the holder's running handler was
// cancelled and has returned. Wait is the maximum time that the newcomer waits for the seat. Zero means 60 s, negative
// means no limit.
type Takeover struct{ Wait time.Duration }

// Rules is the common form of all policies. The zero Rules let no client wait.
type Rules struct {
	Name    string        // of the policy in EHLO and in the log
	Depth   int           // maximum number of waiting clients, zero for none
	PerUser int           // maximum number of waiting clients of one user
	Wait    time.Duration // maximum time that a client waits, negative for no limit
	Evict   bool          // whether a newcomer evicts all clients before it
}

// Allow reports whether a client may wait behind waiting others, of which ofUser are of the same user. If it may not,
// why is the beginning of its reply, in front of the text about the holder.
func (r Rules) Allow(noWait bool, waiting, ofUser int) (why string, ok bool) {
	switch {
	case r.Evict:
		return "", true
	case noWait, r.Depth == 0:
		return "", false
	case waiting >= r.Depth:
		return "the queue is full: ", false
	case ofUser >= r.PerUser:
		return "this user has all the places in the queue that one may have: ", false
	}
	return "", true
}

// Rules returns the rules with the defaults.
func (q Queue) Rules(idle time.Duration) Rules {
	if idle > 0 {
		idle += 2 * time.Minute
	}
	return Rules{"queue", cmp.Or(q.Depth, 16), cmp.Or(q.PerUser, 2), cmp.Or(q.Wait, idle), false}
}

// Rules allows no waiting client.
func (Reject) Rules(time.Duration) Rules { return Rules{Name: "reject"} }

// Rules returns the rules with the default.
func (t Takeover) Rules(time.Duration) Rules {
	return Rules{Name: "takeover", Wait: cmp.Or(t.Wait, time.Minute), Evict: true}
}
