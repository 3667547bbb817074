//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// judgedOverlap is how long octets of a session may come after the first one of a later session.
	judgedOverlap = time.Second
	// judgedSilence is how long the device may be without octets.
	judgedSilence = 20 * time.Second
)

// drive is what the device has seen of a session.
type drive struct {
	session     string
	gate        int
	token       int64
	first, last time.Time
	times       []time.Time
	stopped     bool // its gate was, meanwhile
}

// drives returns the sessions that the device has seen, in order of their first octets.
func drives(seen []arrival) (all []*drive) {
	known := map[string]*drive{}
	for _, a := range seen {
		d := known[a.session]
		if d == nil {
			d = &drive{session: a.session, first: a.at}
			known[a.session], all = d, append(all, d)
		}
		d.last, d.times = a.at, append(d.times, a.at)
	}
	return all
}

// overlaps returns an error for each session that goes on after a later one has begun, and the longest time that one
// did.
func overlaps(all []*drive) (longest time.Duration, err error) {
	for i, old := range all {
		for _, next := range all[i+1:] {
			if !old.last.After(next.first) {
				break // and so do those after it
			}
			longest = max(longest, old.last.Sub(next.first))
			late := len(old.times) - until(old.times, next.first.Add(judgedOverlap))
			if late > 1 || late == 1 && !old.stopped {
				err = errors.Join(err, fmt.Errorf("OVERLAP: %s of gate %d ended %v after the start of %s, with %d messages more than %v after it",
					old.session, old.gate, old.last.Sub(next.first), next.session, late, judgedOverlap))
			}
		}
	}
	return longest, err
}

// until returns the number of times until a time.
func until(times []time.Time, end time.Time) int {
	n, _ := slices.BinarySearchFunc(times, end.Add(1), time.Time.Compare)
	return n
}

// tokensGrow returns an error for each session whose token is not greater than the one before.
func tokensGrow(all []*drive) (err error) {
	for i := 1; i < len(all); i++ {
		if all[i].token <= all[i-1].token {
			err = errors.Join(err, fmt.Errorf("TOKEN: %s has %d, and %s before it has %d", all[i].session, all[i].token, all[i-1].session, all[i-1].token))
		}
	}
	return err
}

// asked is a session by when its client asked.
type asked struct {
	id          string
	at, queued  time.Time // queued is zero for a client that did not wait
	token       int64
	positionUps bool
}

// inOrder returns an error for each session that was seated before one that had waited already when it asked.
func inOrder(all []asked) (err error) {
	for _, x := range all {
		if x.positionUps {
			err = errors.Join(err, fmt.Errorf("POSITION: that of %s grew", x.id))
		}
		for _, y := range all {
			if !x.queued.IsZero() && x.queued.Before(y.at) && x.token > y.token {
				err = errors.Join(err, fmt.Errorf("ORDER: %s asked when %s was waiting already, and was first", y.id, x.id))
			}
		}
	}
	return err
}

// silences returns the longest silence of the device from a time to another.
func silences(seen []arrival, from, to time.Time) (longest time.Duration) {
	before := from
	for _, a := range seen {
		if a.at.Before(from) {
			continue
		}
		if a.at.After(to) {
			break
		}
		longest, before = max(longest, a.at.Sub(before)), a.at
	}
	return max(longest, to.Sub(before))
}

// judge judges the run, and prints its table. Faults came until stop.
func (w *world) judge(stop time.Time) error {
	t := table{}
	seen := slices.SortedStableFunc(slices.Values(w.device.seen()), func(a, b arrival) int { return a.at.Compare(b.at) })
	all := drives(seen)
	orders, err := w.match(all, &t)
	longest, failed := overlaps(all)
	err = errors.Join(err, failed, tokensGrow(all), inOrder(orders), w.quiet(seen, stop, &t))
	if len(w.device.strange) > 0 {
		err = errors.Join(err, fmt.Errorf("the device got %q", w.device.strange[0]))
	}
	t.set("sessions that reached the device", len(all))
	t.set("messages to the device", len(seen))
	t.set("longest overlap, in ms (1000 is allowed)", int(longest.Milliseconds()))
	for _, g := range w.gates {
		t.add("ends of a gate by itself", len(g.deaths))
		for _, why := range g.deaths {
			fmt.Printf("gate %d ended: %s\n", g.number, why)
		}
	}
	t.print()
	return err
}

// match finds the sessions of the attempts in the logs, and judges that replies are on record.
func (w *world) match(all []*drive, t *table) (orders []asked, err error) {
	known := map[string]*drive{}
	for _, d := range all {
		known[d.session] = d
	}
	for _, g := range w.gates {
		conns, failed := readLog(g.audit())
		err = errors.Join(err, failed)
		for _, v := range w.visitors {
			for _, a := range v.all() {
				if a.gate != g.number {
					continue
				}
				t.attempt(a)
				conn := of(conns, v.user(), a)
				requests, token := 0, int64(0)
				if conn != nil {
					requests, token = conn.requests, conn.token
				}
				if requests < a.replies {
					err = errors.Join(err, fmt.Errorf("RECORD: %s got %d replies, %d are on record", a.id, a.replies, requests))
				}
				t.add("replies, all on record", a.replies)
				if d := known[a.id]; d != nil {
					d.gate, d.token = g.number, token
					d.stopped = stopped(w.done, g.number, a.asked, d.last.Add(time.Second))
				}
				if token != 0 {
					orders = append(orders, asked{a.id, a.asked, a.queued, token, a.grew})
				}
			}
		}
	}
	return orders, err
}

// quiet judges how long the device was without octets.
func (w *world) quiet(seen []arrival, stop time.Time, t *table) (err error) {
	if len(seen) == 0 {
		return errors.New("the device got nothing")
	}
	for i, o := range w.done {
		to := stop
		if i+1 < len(w.done) {
			to = w.done[i+1].began
		}
		silence := silences(seen, o.began, to)
		t.fault(o, silence)
		if silence > judgedSilence {
			err = errors.Join(err, fmt.Errorf("SILENCE: %v after %s of %v at %s", silence, o.kind, o.length, o.began.UTC().Format("15:04:05")))
		}
	}
	return err
}
