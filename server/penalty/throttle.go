// Package penalty limits how often one source may fail to log in. Start with [Throttle].
package penalty

import (
	"net/netip"
	"sync"
	"time"
)

// maxSources bounds the number of sources that a Throttle remembers.
const maxSources = 4096

// Throttle counts the failed logins of each source in a leaky bucket, which loses one failure per second. It
// is safe for concurrent use.
type Throttle struct {
	// Burst is the number of failures that a source may have at once. Zero means that every source is
	// refused.
	Burst int

	mu     sync.Mutex
	failed map[netip.Prefix]bucket
}

// bucket is the number of failures of a source at a time.
type bucket struct {
	level float64
	at    time.Time
}

// now returns the number of failures at t.
func (b bucket) now(t time.Time) float64 { return max(0, b.level-t.Sub(b.at).Seconds()) }

// Refuses reports whether the source has too many recent failures.
func (t *Throttle) Refuses(from netip.Prefix) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed[from].now(time.Now()) > float64(t.Burst-1)
}

// Fail counts a failure. If there are too many sources, it forgets the one with the fewest failures.
func (t *Throttle) Fail(from netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if _, known := t.failed[from]; !known && len(t.failed) >= maxSources {
		t.forgetOne(now)
	}
	if t.failed == nil {
		t.failed = map[netip.Prefix]bucket{}
	}
	t.failed[from] = bucket{level: t.failed[from].now(now) + 1, at: now}
}

// forgetOne removes the source with the fewest failures.
func (t *Throttle) forgetOne(now time.Time) {
	var least netip.Prefix
	level := -1.0
	for from, b := range t.failed {
		if l := b.now(now); level < 0 || l < level {
			least, level = from, l
		}
	}
	delete(t.failed, least)
}
