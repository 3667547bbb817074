package fleet

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Bounds of what is judged.
const (
	// freeFor is how long a rig is free at most while somebody waits for any rig, if nothing takes time but waiting: until
	// its gate may write the directory again (0.5 s), until a client tries again whom the directory has misled (1 s),
	// and the delay of a client that already waits elsewhere (5 ms for each such client, 0.3 s). To that come freeSteps as
	// slow as the slowest login of the run: the gate notices the end, the gate writes, the client reads, the client logs in.
	freeFor   = 1800 * time.Millisecond
	freeSteps = 4
	// fairShares is how many seats each of the others gets while one client waits, at most and on average. A queue is
	// served in order, and 60 clients at 20 rigs are three at each. But for half a second all that come see the same
	// queue as the shortest.
	fairShares = 6
)

// span is a time.
type span struct{ from, to time.Time }

func (s span) length() time.Duration { return s.to.Sub(s.from) }

// both returns the time that both spans have in common. Its length is negative if they have none.
func (s span) both(other span) span {
	if other.from.After(s.from) {
		s.from = other.from
	}
	if other.to.Before(s.to) {
		s.to = other.to
	}
	return s
}

// session is a session in the log of a gate.
type session struct {
	span
	rig, user string
}

// use is a seat that a client wanted and had, as the client knows.
type use struct {
	user, rig string
	wait      span
	ended     time.Time
	held      int64 // the greatest number of seats at once until ended
}

// record is the record of a run.
type record struct {
	began    time.Time
	rigs     []string
	clients  int
	seats    map[string]int // that each user wanted
	uses     []use
	sessions []session
	slowest  time.Duration // login without a wait
}

// measures are the extremes of a run.
type measures struct {
	Length, Busy, Free, Wait, Slowest time.Duration
	FreeRig                           string
	Overtaken                         int
}

// judge returns the faults.
func (r record) judge() (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	m := r.measure()
	if most := freeFor + freeSteps*r.slowest; m.Free > most {
		fault("%s was free for %v while clients waited, at most %v is allowed", m.FreeRig, m.Free, most)
	}
	got := map[string]int{}
	for _, u := range r.uses {
		got[u.user]++
		if u.held != 1 {
			fault("%s had %d seats when it used the seat of %s", u.user, u.held, u.rig)
		}
		if n := r.overtook(u); n > fairShares*r.clients {
			fault("%s waited %v, in which %d clients had a seat, at most %d shall", u.user, u.wait.length(), n, fairShares*r.clients)
		}
	}
	for user, n := range r.seats {
		if got[user] != n {
			fault("%s got %d seats of %d", user, got[user], n)
		}
	}
	// What is left are seats that were given back at once.
	for _, s := range r.unused(fault) {
		if most := time.Second + r.slowest; s.length() > most {
			fault("%s kept a seat of %s that it did not use for %v, at most %v is allowed", s.user, s.rig, s.length(), most)
		}
	}
	return faults
}

// unused returns the sessions that no client used.
func (r record) unused(fault func(string, ...any)) []session {
	left := slices.Clone(r.sessions)
	for _, u := range r.uses {
		i := slices.IndexFunc(left, func(s session) bool {
			return s.user == u.user && s.rig == u.rig && !s.from.After(u.wait.to) && !s.to.Before(u.ended)
		})
		if i < 0 {
			fault("%s used a seat of %s that its log does not have", u.user, u.rig)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	return left
}

// overtook returns how many clients got a seat while one waited.
func (r record) overtook(u use) (n int) {
	for _, other := range r.uses {
		if other.user != u.user && other.wait.to.After(u.wait.from) && other.wait.to.Before(u.wait.to) {
			n++
		}
	}
	return n
}

func (r record) measure() (m measures) {
	m.Slowest = r.slowest
	for _, u := range r.uses {
		m.Length = max(m.Length, u.ended.Sub(r.began))
		m.Wait = max(m.Wait, u.wait.length())
		m.Overtaken = max(m.Overtaken, r.overtook(u))
	}
	waits := r.waits()
	for _, rig := range r.rigs {
		free := span{from: r.began}
		for _, s := range append(r.at(rig), session{span: span{from: waits[len(waits)-1].to}}) {
			m.Busy += s.length()
			free.to = s.from
			for _, w := range waits {
				if d := free.both(w).length(); d > m.Free {
					m.Free, m.FreeRig = d, rig
				}
			}
			free.from = s.to
		}
	}
	return m
}

// at returns the sessions of a rig in their order.
func (r record) at(rig string) (all []session) {
	for _, s := range r.sessions {
		if s.rig == rig {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b session) int { return a.from.Compare(b.from) })
	return all
}

// waits returns when somebody waited. The spans are in order, and none touches the next one.
func (r record) waits() (all []span) {
	for _, u := range slices.SortedFunc(slices.Values(r.uses), func(a, b use) int { return a.wait.from.Compare(b.wait.from) }) {
		switch n := len(all) - 1; {
		case n < 0 || u.wait.from.After(all[n].to):
			all = append(all, u.wait)
		case u.wait.to.After(all[n].to):
			all[n].to = u.wait.to
		}
	}
	return all
}

// longest is the longest of some times. Several goroutines may add to it.
type longest struct{ atomic.Int64 }

func (l *longest) add(d time.Duration) {
	for was := l.Int64.Load(); int64(d) > was && !l.CompareAndSwap(was, int64(d)); was = l.Int64.Load() {
	}
}

func (l *longest) Load() time.Duration { return time.Duration(l.Int64.Load()) }
