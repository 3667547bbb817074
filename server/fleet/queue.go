package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sallyport/sallyport/protocol/capability"
)

// entrySchema is the schema of the value of a place in the queue.
const entrySchema = "sallyport-place/1"

// entry is a client's place in the queue, as written in etcd.
type entry struct {
	Schema string `json:"schema"`
	User   string `json:"user"`
	// Takeover evicts all clients before this one.
	Takeover bool `json:"takeover,omitempty"`
	// At is the address of the client's gate.
	At string `json:"at,omitempty"`
	// Since is when the client asked for the seat or, if it had to wait, when its session began.
	Since time.Time `json:"since,omitzero"`

	key   string
	token int64 // the revision that created the key
	lease clientv3.LeaseID
}

// queue is the queue of a seat at a revision of etcd. It never changes. It may be out of date, but a first entry stays
// the first until it is deleted, because later entries come behind it.
type queue struct {
	entries  []entry        // by token
	at       map[string]int // by key, the position
	revision int64
	old      chan struct{} // closed when a later queue is set
}

// followed is the latest queue. One goroutine changes it.
type followed struct{ atomic.Pointer[queue] }

// follow keeps the queue up to date until ctx ends. It calls changed after each change.
func (l *followed) follow(ctx context.Context, f *Fleet, prefix string, wrong chan struct{}, changed func()) {
	f.follow(ctx, mirror{
		prefix: prefix, again: renewAgain, wrong: wrong,
		read: func(ctx context.Context) (int64, error) {
			var entries []entry
			revision, err := f.scan(ctx, prefix, func(kv *mvccpb.KeyValue) { entries = f.add(entries, kv) })
			if err == nil {
				slices.SortFunc(entries, func(a, b entry) int { return int(a.token - b.token) })
				l.set(revision, entries)
				changed()
			}
			return revision, err
		},
		apply: func(revision int64, changes []*clientv3.Event) {
			entries := slices.Clone(l.Load().entries)
			for _, change := range changes {
				entries = f.apply(entries, change)
			}
			l.set(revision, entries)
			changed()
		},
	}, 0)
}

// set sets the queue of a revision, and closes old of the last queue.
func (l *followed) set(revision int64, entries []entry) {
	at := make(map[string]int, len(entries))
	for i, e := range entries {
		at[e.key] = i
	}
	old := l.Swap(&queue{entries, at, revision, make(chan struct{})})
	close(old.old)
}

// reach waits until the queue has reached a revision of etcd.
func (l *followed) reach(ctx context.Context, revision int64) error {
	for {
		q := l.Load()
		if q.revision >= revision {
			return nil
		}
		select {
		case <-q.old:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// apply applies one change of a key.
func (f *Fleet) apply(entries []entry, change *clientv3.Event) []entry {
	i := slices.IndexFunc(entries, func(e entry) bool { return e.key == string(change.Kv.Key) })
	switch {
	case change.Type == mvccpb.Event_DELETE && i >= 0:
		return slices.Delete(entries, i, i+1)
	case change.Type == mvccpb.Event_PUT && i < 0: // the later ones have greater revisions
		return f.add(entries, change.Kv)
	case change.Type == mvccpb.Event_PUT:
		now := f.entry(change.Kv)
		entries[i].Since, entries[i].lease = now.Since, now.lease
	}
	return entries
}

// add reads an entry and adds it. A key that is too large is not a gate's, and gets no place.
func (f *Fleet) add(entries []entry, kv *mvccpb.KeyValue) []entry {
	if len(kv.Key) > maxKey {
		f.report(kv, fmt.Errorf("%w: its key has %d bytes", ErrForeign, len(kv.Key)))
		return entries
	}
	return append(entries, f.entry(kv))
}

// entry reads an entry. An unreadable entry keeps its place: its gate may be of a newer version.
func (f *Fleet) entry(kv *mvccpb.KeyValue) (e entry) {
	err := decode(kv.Value, entrySchema, &e)
	if err == nil && !isPrepared(e.User) {
		err = fmt.Errorf("%w: it has no name that SASLprep has prepared", ErrForeign)
	}
	if err != nil {
		e = entry{User: "?"}
	}
	if len(e.At) > maxAddr || strings.ContainsFunc(e.At, unprintable) {
		e.At = ""
	}
	if kv.Lease == 0 {
		err = noLease(kv)
	}
	if err != nil {
		f.report(kv, err)
	}
	if now := time.Now(); e.Since.IsZero() || e.Since.After(now) { // of an older gate, or by a clock that is fast
		e.Since = now
	}
	e.key, e.token, e.lease = string(kv.Key), kv.CreateRevision, clientv3.LeaseID(kv.Lease)
	return e
}

// noLease returns the key of the first place without a lease, quoted for a shell if it needs that, or "".
func (q *queue) noLease() string {
	for _, e := range q.entries {
		if e.lease == 0 {
			return word(e.key)
		}
	}
	return ""
}

// find returns the position of a client, and 0 for the first. -1 means that the client has no place, or that its key
// was deleted and written again.
func (q *queue) find(p *claim) int {
	n, ok := q.at[p.key]
	if !ok || p.written.Load() && q.entries[n].token != p.token {
		return -1
	}
	return n
}

// holder returns the user of the first entry, or "".
func (q *queue) holder() string {
	if len(q.entries) == 0 {
		return ""
	}
	return q.entries[0].User
}

// evictor returns the user who takes over from the client at a position, or "".
func (q *queue) evictor(n int) string {
	for _, e := range q.entries[n+1:] {
		if e.Takeover {
			return e.User
		}
	}
	return ""
}

// status returns the queue's status for STAT.
func (q *queue) status() (now capability.Status) {
	if len(q.entries) > 0 {
		first := q.entries[0]
		now.Holder, now.Since, now.Active, now.Waiting = first.User, first.Since, first.Since, len(q.entries)-1
	}
	return now
}

// waiting returns how many places of a user are before a position, not counting the seat.
func (q *queue) waiting(user string, before int) (n int) {
	for i, e := range q.entries {
		if i > 0 && i < before && e.User == user {
			n++
		}
	}
	return n
}
