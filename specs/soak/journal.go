package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

// attempt is what one client noted: a login, and what came of it.
type attempt struct {
	id             string // also its token for the device
	kind, fate     string
	user, password string
	remote         string    // the client's address, as the server sees it; empty if the server was not reached
	dialed         time.Time // when it was reached
	began, ended   time.Time
	seated         time.Time // when the 235 came; zero if it did not
	exchanges      []exchange
	last           protocol.ReplyError // the reply that ended it, if one did
	killed         bool                // by SIGKILL
	exit           int                 // of a program: its exit code plus one, so that 0 is none
	err            error
}

// exchange is a request that was answered.
type exchange struct {
	verb           string // empty if the server doesn't know it
	argument, body int    // bytes
	code           protocol.Code
	keyword        string
	sent, answered time.Time
}

func (a *attempt) String() string {
	return fmt.Sprintf("%s (%s, user %s, network %s, from %s)", a.id, a.kind, a.user, a.fate, a.remote)
}

// answered notes a reply to a request.
func (a *attempt) answered(r protocol.Request, reply protocol.Reply, sent time.Time) {
	e := exchange{
		verb: r.Verb, argument: len(r.Argument), body: len(r.Body),
		code: reply.Code, sent: sent, answered: time.Now(),
	}
	if refusal, ok := asRefusal(reply.Err()); ok {
		e.keyword = string(refusal.Keyword)
	}
	a.exchanges = append(a.exchanges, e)
}

// journal has the attempts of an act, in the order of their ends.
type journal struct {
	mu       sync.Mutex
	attempts []*attempt
}

func (j *journal) add(a *attempt) {
	a.ended = time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.attempts = append(j.attempts, a)
}

// span is a stretch of time.
type span struct{ from, until time.Time }

// meets reports whether two spans have a moment in common.
func (s span) meets(other span) bool {
	return !s.until.Before(other.from) && !other.until.Before(s.from)
}
