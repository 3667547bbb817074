package fleet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sallyport/sallyport/protocol/capability"
)

// entrySchema is the schema of the value of a place in the queue.
const entrySchema = "sallyport-place/1"

// entry is a client's place in the queue, as etcd has it.
type entry struct {
	Schema string `json:"schema"`
	User   string `json:"user"`
	// Takeover makes all clients before this one leave.
	Takeover bool `json:"takeover,omitempty"`

	key   string
	token int64 // the revision that created the key
	lease clientv3.LeaseID
	since time.Time // when the entry became the first one, zero before
}

// queue is the queue of a seat as etcd has it. The first entry has the seat. It is a copy that may be late, but not
// about who is first: an entry stays the first one until it is deleted, because later ones come behind it.
type queue struct {
	mu       sync.Mutex
	entries  []entry // by token
	revision int64   // of etcd, that the copy has reached
	changed  chan struct{}
}

// follow keeps the copy up to date until ctx ends. It calls changed after each change.
func (q *queue) follow(ctx context.Context, f *Fleet, prefix string, changed func()) {
	for ctx.Err() == nil {
		if err := q.read(ctx, f, prefix); err == nil {
			changed()
			q.watch(ctx, f, prefix, changed)
		}
		pause(ctx, renewAgain)
	}
}

// read reads the whole queue.
func (q *queue) read(ctx context.Context, f *Fleet, prefix string) error {
	ctx, cancel := f.call(ctx)
	defer cancel()
	got, err := f.etcd.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	if err != nil {
		return err
	}
	var entries []entry
	for _, kv := range got.Kvs {
		entries = append(entries, f.entry(kv))
	}
	q.change(got.Header.Revision, func(old []entry) []entry {
		if len(old) > 0 && len(entries) > 0 && old[0].key == entries[0].key {
			entries[0].since = old[0].since
		}
		return entries
	})
	return nil
}

const (
	// askEvery is how often a watch asks its member of etcd for a sign of life, and silence is how long it may get none.
	// The client of etcd notices a member that is stopped or cut off after 15 s only.
	askEvery = time.Second
	silence  = 4 * time.Second
)

// watch applies changes until the watch fails or is silent.
func (q *queue) watch(ctx context.Context, f *Fleet, prefix string, changed func()) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	etcd := clientv3.NewWatcher(f.etcd) // because all watches of one get the signs of life
	defer func() { _ = etcd.Close() }()
	updates := etcd.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(q.revision+1))
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	for heard := time.Now(); time.Since(heard) < silence; {
		select {
		case <-ask.C:
			askFor(ctx, etcd)
		case update, more := <-updates:
			if !more || update.Err() != nil {
				return
			}
			heard = time.Now()
			if len(update.Events) > 0 { // otherwise it is a sign of life, whose revision may be too new
				q.change(update.Header.Revision, func(entries []entry) []entry { return f.applyAll(entries, update.Events) })
				changed()
			}
		}
	}
}

// askFor asks for a sign of life.
func askFor(ctx context.Context, etcd clientv3.Watcher) {
	ctx, cancel := context.WithTimeout(ctx, askEvery)
	defer cancel()
	_ = etcd.RequestProgress(ctx)
}

func (f *Fleet) applyAll(entries []entry, events []*clientv3.Event) []entry {
	for _, event := range events {
		entries = f.apply(entries, event)
	}
	return entries
}

// apply applies one change of a key.
func (f *Fleet) apply(entries []entry, event *clientv3.Event) []entry {
	i := slices.IndexFunc(entries, func(e entry) bool { return e.key == string(event.Kv.Key) })
	switch {
	case event.Type == mvccpb.Event_DELETE && i >= 0:
		return slices.Delete(entries, i, i+1)
	case event.Type == mvccpb.Event_PUT && i < 0: // the later ones have greater revisions
		return append(entries, f.entry(event.Kv))
	}
	return entries
}

// entry reads an entry. One that can't be read has its place too: its gate may be newer than this one.
func (f *Fleet) entry(kv *mvccpb.KeyValue) (e entry) {
	err := decode(kv.Value, entrySchema, &e)
	if err == nil && !isPrepared(e.User) {
		err = fmt.Errorf("%w: it has no name that SASLprep has prepared", ErrForeign)
	}
	if err != nil {
		f.report(string(kv.Key), kv.ModRevision, err)
		e = entry{User: "?"}
	}
	e.key, e.token, e.lease = string(kv.Key), kv.CreateRevision, clientv3.LeaseID(kv.Lease)
	return e
}

// change changes the entries. The copy is that of a revision then.
func (q *queue) change(revision int64, f func([]entry) []entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entries, q.revision = f(q.entries), revision
	if len(q.entries) > 0 && q.entries[0].since.IsZero() {
		q.entries[0].since = time.Now()
	}
	close(q.changed)
	q.changed = make(chan struct{})
}

// reach waits until the copy has reached a revision of etcd.
func (q *queue) reach(ctx context.Context, revision int64) error {
	for {
		q.mu.Lock()
		reached, changed := q.revision >= revision, q.changed
		q.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// find returns the position of a key, 0 is first, or -1 if it is not there, and the user of the first entry.
func (q *queue) find(key string) (n int, holder string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) == 0 {
		return -1, ""
	}
	return slices.IndexFunc(q.entries, func(e entry) bool { return e.key == key }), q.entries[0].User
}

// keys returns the keys that have a lease.
func (q *queue) keys(lease clientv3.LeaseID) (keys []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries {
		if e.lease == lease {
			keys = append(keys, e.key)
		}
	}
	return keys
}

// evictor returns the user who took over from a key, or "".
func (q *queue) evictor(key string) (user string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.entries, func(e entry) bool { return e.key == key })
	if i < 0 {
		return ""
	}
	for _, e := range q.entries[i+1:] {
		if e.Takeover {
			return e.User
		}
	}
	return ""
}

// status returns what STAT says of the queue.
func (q *queue) status() (now capability.Status) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) > 0 {
		first := q.entries[0]
		now.Holder, now.Since, now.Active, now.Waiting = first.User, first.since, first.since, len(q.entries)-1
	}
	return now
}

// places returns the number of a user's places in the queue, without the seat.
func (q *queue) places(user string) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, e := range q.entries {
		if i > 0 && e.User == user {
			n++
		}
	}
	return n
}
