// Package alarm has a timer for work that is usually done before it is due.
package alarm

import (
	"sync"
	"time"
)

// Timer calls Ring when it is due, unless Stop is called before. Behind it is a timer of the system that keeps
// running from one Set to the next, and is set again if it fires too early: setting it for each request would
// take as long as parsing one.
type Timer struct {
	// Ring is called in a goroutine of its own.
	Ring func()

	mu      sync.Mutex
	due     time.Time // zero after Stop
	pending bool      // the timer of the system runs
	rang    bool      // since Set
}

// Set sets the timer. Later calls must not have an earlier due, because they don't set the timer of the system.
func (t *Timer) Set(due time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.due = due
	if !t.pending {
		t.pending = true
		time.AfterFunc(time.Until(due), t.look)
	}
}

// look runs when the timer of the system fires.
func (t *Timer) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = false
	switch wait := time.Until(t.due); {
	case t.due.IsZero():
	case wait > 0:
		t.pending = true
		time.AfterFunc(wait, t.look)
	default:
		t.rang = true
		go t.Ring()
	}
}

// Stop reports whether Ring was called since Set. If not, it won't be.
func (t *Timer) Stop() (rang bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rang = t.rang
	t.due, t.rang = time.Time{}, false
	return rang
}
