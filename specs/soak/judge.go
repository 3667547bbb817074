package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// slack is how much two clocks of this machine may differ: those of the log are rounded to microseconds.
const slack = 5 * time.Millisecond

// faults collects what a rule finds, up to a bound for each rule.
type faults struct{ all []error }

func (f *faults) addf(format string, args ...any) {
	if len(f.all) < 20 {
		f.all = append(f.all, fmt.Errorf(format, args...))
	}
}

func (f *faults) err() error { return errors.Join(f.all...) }

// judge judges an act when all is over.
func (a *act) judge(ctx context.Context, goroutines int) error {
	pieces, err := a.logs.finish()
	if err != nil {
		return err
	}
	log, err := readLogs(pieces)
	if err != nil {
		return err
	}
	a.countN("log records", len(log.records))
	a.countN("log files", len(pieces))
	uses, overlaps := a.device.take()
	for _, u := range uses {
		kind, _, _ := strings.Cut(u.token, "-")
		a.count("uses of the device: " + kind)
	}
	c := caseFile{attempts: a.journal.attempts, log: log, lost: a.logs.lost, downs: a.host.downs, uses: uses, overlaps: overlaps}
	missing := c.everyAnswerIsOnRecord()
	a.countN("answers without a record", len(missing.all))
	two := c.oneUserOfTheDevice()
	a.countN("overlaps on the device", len(two.all))
	a.countN("COMMANDs in their kill time", c.spared)
	a.most("most goroutines at rest", goroutines)
	return errors.Join(
		missing.err(), two.err(), c.oneSessionInTheLog().err(), c.oneSessionByTheJournals().err(),
		c.holdStopsInTime().err(), c.passwordsCount(a.accounts).err(), noPassword(log.text.String(), a.accounts.passwords()).err(),
		verifies(ctx, a.bin, pieces), flat(a.samples), few(goroutines))
}

// caseFile is what there is to judge.
type caseFile struct {
	attempts []*attempt
	log      *evidence
	lost     []span // what was written in these may be missing from the log
	downs    []span // when no server ran
	uses     []*use
	overlaps []*overlap
	spared   int // overlaps that the kill time excuses
}

// mayBeLost reports whether what happened in a span may be missing from the log.
func (c *caseFile) mayBeLost(during span) bool {
	return slices.ContainsFunc(c.lost, during.meets)
}

// everyAnswerIsOnRecord compares each client's answers with the records of its connection, in their order.
func (c *caseFile) everyAnswerIsOnRecord() *faults {
	f, accepted := &faults{}, c.log.accepted()
	for _, a := range c.attempts {
		if a.seated.IsZero() && len(a.exchanges) == 0 {
			continue
		}
		records := c.log.conn(a, accepted)
		if len(records) == 0 {
			if !c.mayBeLost(span{a.began, a.ended}) {
				f.addf("%s had the seat, and the log has nothing of its connection", a)
			}
			continue
		}
		c.compare(f, a, records)
	}
	return f
}

// compare compares one client's answers with the records of its connection.
func (c *caseFile) compare(f *faults, a *attempt, records []*record) {
	if open := find(records, "session.open"); open == nil || open.User != a.user {
		if !c.mayBeLost(span{a.began, a.seated}) {
			f.addf("%s had the seat, and its connection %s has no session of this user", a, records[0].Conn)
		}
	}
	requests := map[int]*record{}
	for _, r := range records {
		if r.Event == "request" {
			requests[r.N] = r
		}
	}
	for i, e := range a.exchanges {
		r := requests[i+1]
		switch {
		case r == nil && c.mayBeLost(span{e.sent, e.answered}):
		case r == nil:
			f.addf("%s: request %d (%s) was answered with %d at %s, and connection %s has no record of it",
				a, i+1, e.verb, e.code, e.answered.Format(time.StampMilli), records[0].Conn)
		case r.Verb != e.verb || r.Code != int(e.code) || r.Keyword != e.keyword || r.ArgumentBytes != e.argument || r.BodyBytes != e.body:
			f.addf("%s: request %d: the client noted %+v, the log %+v", a, i+1, e, *r)
		case r.Time.After(e.answered.Add(slack)):
			f.addf("%s: request %d was answered %s before its record", a, i+1, r.Time.Sub(e.answered))
		}
	}
}

// oneSessionInTheLog demands that no session opens while another one is open, in the order of the log. A server
// that was killed has closed none; the next one begins with server.start.
func (c *caseFile) oneSessionInTheLog() *faults {
	f, open := &faults{}, ""
	last := time.Time{}
	for _, r := range c.log.records {
		switch r.Event {
		case "server.start", "log.drop": // a close may be lost
			open = ""
		case "session.open":
			if open != "" && !c.mayBeLost(span{last, r.Time}) {
				f.addf("the session of connection %s opens at %s while that of %s is open", r.Conn, r.Time.Format(time.StampMilli), open)
			}
			open, last = r.Conn, r.Time
		case "session.close":
			if r.Conn != open && open != "" && !c.mayBeLost(span{last, r.Time}) {
				f.addf("the session of connection %s closes at %s while that of %s is open", r.Conn, r.Time.Format(time.StampMilli), open)
			}
			open = ""
		}
	}
	return f
}

// oneSessionByTheJournals demands the same without the log: a client has the seat at least from the moment at
// which it has its 235 until it sends the last request that is answered. No two clients have it together.
func (c *caseFile) oneSessionByTheJournals() *faults {
	type stay struct {
		span
		of *attempt
	}
	var stays []stay
	for _, a := range c.attempts {
		if n := len(a.exchanges); n > 0 && a.exchanges[n-1].sent.After(a.seated) {
			stays = append(stays, stay{span{a.seated, a.exchanges[n-1].sent}, a})
		}
	}
	slices.SortFunc(stays, func(x, y stay) int { return x.from.Compare(y.from) })
	f := &faults{}
	for i := 1; i < len(stays); i++ {
		if stays[i-1].meets(stays[i].span) {
			f.addf("%s and %s had the seat at the same time", stays[i-1].of, stays[i].of)
		}
		if stays[i-1].until.After(stays[i].until) {
			stays[i] = stays[i-1] // the longer one may meet others
		}
	}
	return f
}

// passwordsCount demands that the valid password logs in and no other one does.
func (c *caseFile) passwordsCount(users *accounts) *faults {
	f := &faults{}
	for _, a := range c.attempts {
		if a.kind == "hold" || a.password == "" {
			continue
		}
		until := a.ended
		if !a.seated.IsZero() {
			until = a.seated
		}
		switch valid := users.valid(a.user, a.password, span{a.began, until}); {
		case valid == never && (!a.seated.IsZero() || a.last.Keyword == "busy" || a.last.Keyword == "wait-timeout"):
			f.addf("%s logged in at %s with a password that was not valid", a, a.began.Format(time.StampMilli))
		case valid == always && a.last.Code == 535:
			f.addf("%s was refused at %s with the valid password", a, a.began.Format(time.StampMilli))
		}
	}
	return f
}

// noPassword demands that the log has no password.
func noPassword(log string, passwords []string) *faults {
	f := &faults{}
	for _, p := range passwords {
		if strings.Contains(log, p) {
			f.addf("the log has a password")
		}
	}
	return f
}
