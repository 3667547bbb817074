package server

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// never is later than all that an alarm is set for.
const never = math.MaxInt64

// clock keeps the deadlines of all connections with one timer. A deadline of the network's would be
// a timer of its own in the runtime: to set one takes as long as to parse a command, and can wake a
// processor that does nothing but look when the next timer is due. Most alarms are set, and set
// anew, without the timer being touched.
//
// It has a lock of its own, under which nothing is waited for, so that no deadline depends on a disk
// that the log waits for.
type clock struct {
	zero time.Time    // what alarms count from
	next atomic.Int64 // when the timer fires, or never

	mu    sync.Mutex
	timer *time.Timer
	conns map[*conn]struct{}
}

// alarm is one of a connection's deadlines.
type alarm struct {
	at    atomic.Int64 // nanoseconds of the clock, unset, or wentOff
	goOff func()       // called with the clock's lock: it must neither wait nor set an alarm
}

const (
	unset   = 0
	wentOff = -1
)

func (k *clock) start() {
	k.zero, k.conns = time.Now(), map[*conn]struct{}{}
	k.next.Store(never)
	k.timer = time.AfterFunc(never, k.ring)
	k.timer.Stop()
}

// stop is called when there are no connections any more, and won't be: the timer would keep the
// server in memory until it fires.
func (k *clock) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer.Stop()
}

// add and remove say whose alarms there are: one of a connection that isn't added never goes off.
func (k *clock) add(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conns[c] = struct{}{}
}

func (k *clock) remove(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.conns, c)
}

// set makes the alarm go off then, at once where that is past, and not at all for the zero time. Only
// the goroutine that reads, writes, or calls the handler sets the alarm of that.
func (k *clock) set(a *alarm, by time.Time) {
	if by.IsZero() {
		a.at.Store(unset)
		return
	}
	at := max(1, int64(by.Sub(k.zero)))
	a.at.Store(at)
	if at < k.next.Load() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.schedule(at)
	}
}

// end is for an alarm whose time is over otherwise. It reports whether it went off.
func (a *alarm) end() bool { return a.at.Swap(unset) == wentOff }

// schedule makes the timer fire by then. mu is held.
func (k *clock) schedule(at int64) {
	if at < k.next.Load() {
		k.next.Store(at)
		k.timer.Reset(time.Duration(at) - time.Since(k.zero))
	}
}

// ring makes the alarms go off whose time has come. It looks at those of all connections, but seldom:
// when the first would be due, had none been set anew. Whoever sets one meanwhile sees that the timer
// is not going to fire, and waits for mu.
func (k *clock) ring() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next.Store(never)
	now, next := int64(time.Since(k.zero)), int64(never)
	for c := range k.conns {
		for _, a := range [...]*alarm{&c.reading, &c.writing, &c.watch} {
			next = min(next, a.check(now))
		}
	}
	k.schedule(next)
}

// check makes the alarm go off if its time has come, and returns when it is to be looked at again.
func (a *alarm) check(now int64) int64 {
	switch at := a.at.Load(); {
	case at == unset, at == wentOff:
		return never
	case at > now:
		return at
	case a.at.CompareAndSwap(at, wentOff):
		a.goOff()
		return never
	}
	return now // it has just been set anew, or ended
}
