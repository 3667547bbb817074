package lobby

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// every is the time between two reports.
	every = time.Second
	// maxRefusals bounds the number of counts in a report. A last one has the rest.
	maxRefusals = 100
)

// Refusal is the number of connections of one source that were closed for one reason.
type Refusal struct {
	// Source is an address or an IPv6 prefix. It is "" for peers without an address, and "others" for the
	// sources that did not get a count of their own.
	Source string
	// Reason is Full, SourceFull or a word of the caller's.
	Reason string
	// Count is at least 1.
	Count int
}

// Refusals counts connections that a limit has closed, and reports the counts once a second, so that a flood
// of connections becomes no flood of records. It is safe for concurrent use.
type Refusals struct {
	// Report gets what was counted since the last call. No two calls overlap.
	Report func([]Refusal)

	reporting sync.Mutex
	mu        sync.Mutex
	counts    map[kind]int
}

type kind struct{ source, reason string }

// Add counts a connection. It doesn't wait for Report.
func (r *Refusals) Add(from netip.Prefix, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[kind]int{}
		time.AfterFunc(every, r.Flush)
	}
	k := kind{sourceText(from), reason}
	if r.counts[k] == 0 && len(r.counts) >= maxRefusals {
		k.source = "others"
	}
	r.counts[k]++
}

// Flush reports now. When it returns, all that was counted before is reported.
func (r *Refusals) Flush() {
	r.reporting.Lock()
	defer r.reporting.Unlock()
	r.mu.Lock()
	counts := r.counts
	r.counts = nil
	r.mu.Unlock()
	var all []Refusal
	for k, n := range counts {
		all = append(all, Refusal{k.source, k.reason, n})
	}
	if len(all) > 0 {
		r.Report(all)
	}
}

func sourceText(from netip.Prefix) string {
	switch {
	case !from.IsValid():
		return ""
	case from.IsSingleIP():
		return from.Addr().String()
	}
	return from.String()
}
