package main

import (
	"slices"
	"strings"
	"time"
)

const (
	// killTime bounds the life of COMMAND after the server has announced that it takes the seat away.
	killTime = 5*time.Second + busy
	// deadPath is the same bound where the network loses the announcement, so that only the lease ends COMMAND.
	deadPath = idleForHold + busy
	// busy is the delay that a loaded machine may add.
	busy = 2 * time.Second
	// noticed is the delay with which the device may notice that COMMAND's connection has ended.
	noticed = time.Second
)

// grace returns how long the COMMAND of an attempt may live on after the seat was lost.
func grace(a *attempt) time.Duration {
	switch a.fate {
	case clean, reset, halfClose:
		return killTime
	}
	return deadPath
}

// oneUserOfTheDevice demands that no two clients used the device together. The exception is a COMMAND in its
// kill time, after the server has announced that it takes the seat away.
func (c *caseFile) oneUserOfTheDevice() *faults {
	f := &faults{}
	for _, o := range c.overlaps {
		if c.inKillTime(o.earlier) || c.inKillTime(o.later) {
			c.spared++
			continue
		}
		f.addf("%s, from %s on", o, o.at.Format(time.StampMilli))
	}
	return f
}

// inKillTime reports whether a use is that of a COMMAND that ended in its kill time.
func (c *caseFile) inKillTime(u *use) bool {
	a := c.attempt(u.token)
	if a == nil || a.kind != "hold" {
		return false
	}
	lost, strict := c.lostSeat(a)
	return !strict && !lost.IsZero() && u.until.Sub(lost) <= grace(a)
}

// attempt returns the attempt of a token, or nil.
func (c *caseFile) attempt(token string) *attempt {
	if !strings.HasPrefix(token, "hold-") && !strings.HasPrefix(token, "stream-") {
		return nil
	}
	for _, a := range c.attempts {
		if a.id == token {
			return a
		}
	}
	return nil
}

// lostSeat returns when an attempt lost the seat, or the zero time if it never had it. strict means that
// COMMAND must have ended by then: the server gave the seat away for silence or idleness, or hold gave it
// back.
func (c *caseFile) lostSeat(a *attempt) (at time.Time, strict bool) {
	records := c.log.conn(a, c.log.accepted())
	open := find(records, "session.open")
	if open == nil {
		return time.Time{}, false
	}
	if end := find(records, "session.close"); end != nil {
		switch end.Reason {
		case "quit":
			return end.Time, true
		case "idle", "vanished":
			return end.Time, true
		case "cut", "closed", "reset": // by hold's end, unless the network did it
			return end.Time, a.killed && (a.fate == clean || a.fate == delay || a.fate == drip)
		}
		return end.Time, false
	}
	for _, down := range c.downs { // killed with the server
		if down.from.After(open.Time) {
			return down.from, false
		}
	}
	return a.ended, false
}

// holdStopsInTime demands that COMMAND runs only while its hold has the seat, and that a hold that leaves with 0
// gave it back.
func (c *caseFile) holdStopsInTime() *faults {
	f := &faults{}
	for _, a := range c.attempts {
		if a.kind != "hold" || a.exit != exitDone || c.mayBeLost(span{a.began, a.ended}) {
			continue
		}
		records := c.log.conn(a, c.log.accepted())
		if !slices.ContainsFunc(records, func(r *record) bool { return r.Verb == "QUIT" && r.Code == 221 }) {
			f.addf("%s left with 0, and the log has no QUIT of it", a)
		}
	}
	for _, u := range c.uses {
		a := c.attempt(u.token)
		if a == nil || c.mayBeLost(span{a.began, a.ended}) {
			continue
		}
		records := c.log.conn(a, c.log.accepted())
		open := find(records, "session.open")
		if open == nil || u.from.Add(slack).Before(open.Time) {
			f.addf("%s used the device at %s without a session", a, u.from.Format(time.StampMilli))
			continue
		}
		if a.kind == "stream" {
			if find(records, "stream.open") == nil {
				f.addf("%s used the device, and the log has no stream of it", a)
			}
			continue
		}
		switch lost, strict := c.lostSeat(a); {
		case strict && u.until.After(lost.Add(noticed)):
			f.addf("COMMAND of %s used the device for %s after the seat was free", a, u.until.Sub(lost))
		case u.until.Sub(lost) > grace(a):
			f.addf("COMMAND of %s used the device for %s after its seat was lost", a, u.until.Sub(lost))
		}
	}
	return f
}
