// Package notice computes when a session ends and when to warn its client, and writes the warning. Start with
// [Session.End].
package notice

import (
	"strings"
	"time"
)

const (
	// lead is how long before the end the notice is due.
	lead = time.Minute
	// least is the shortest limit with a notice: before a shorter one there is no time to do anything.
	least = 2 * time.Second
)

// Session is a session in use.
type Session struct {
	// Opened and Active are when it began, and when its client was last active.
	Opened, Active time.Time
	// Idle and Limit bound the times since then. Negative means no limit.
	Idle, Limit time.Duration
}

// End is the end of a session in which nothing more happens.
type End struct {
	// By is when the session ends. Zero means never.
	By time.Time
	// WarnAt is when a notice is due: a minute before the end, but at most half of the limit. A limit below 2 s has no
	// notice: WarnAt is By then.
	WarnAt time.Time
	// Idle means that the idle limit ends the session, and not Session.Limit.
	Idle bool

	session Session
}

// End returns the end of the session.
func (s Session) End() End {
	e, limit := End{session: s}, s.Limit
	if limit >= 0 {
		e.By = s.Opened.Add(limit)
	}
	if idleBy := s.Active.Add(s.Idle); s.Idle >= 0 && (e.By.IsZero() || idleBy.Before(e.By)) {
		e.By, e.Idle, limit = idleBy, true, s.Idle
	}
	if e.WarnAt = e.By; limit >= least {
		e.WarnAt = e.By.Add(-min(lead, limit/2))
	}
	return e
}

// Due reports whether the notice is due and the session has not ended.
func (e End) Due(now time.Time) bool { return !now.Before(e.WarnAt) && now.Before(e.By) }

// Text returns the notice.
func (e End) Text(now time.Time) string {
	ends := "this session ends in " + short(e.By.Sub(now))
	if e.Idle {
		return "idle for " + short(now.Sub(e.session.Active)) + ": " + ends + " unless you do something"
	}
	return ends + ": one may last " + short(e.session.Limit)
}

// short returns a duration in seconds, without the zeros behind it: 1h, and not 1h0m0s.
func short(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
