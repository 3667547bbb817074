package fleet

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// page is the number of keys in one reply.
	page = 1000
	// askEvery is the time between two requests of a watch for a sign of life of its member of etcd. silence is the
	// maximum time without one. The client of etcd alone would notice a stopped member after 15 s.
	askEvery = time.Second
	silence  = 4 * time.Second
	// readEvery is the time after which all keys are read again, in case the copy has missed a change.
	readEvery = 10 * time.Minute
)

// mirror is a copy of the keys with a prefix.
type mirror struct {
	prefix string
	beside string // another key: its change makes follow read again; may be empty
	// read reads the whole copy, and returns its revision.
	read func(context.Context) (revision int64, err error)
	// apply applies changes, which lead to a revision.
	apply func(revision int64, changes []*clientv3.Event)
	again time.Duration // the pause before follow reads again after the watch breaks
	wrong chan struct{} // has a value if the copy may be wrong; may be nil
}

// follow keeps a copy up to date until ctx ends. revision is that of the copy, or 0 if nothing was read yet. etcd
// forgets old changes, so after a break of the watch follow reads all keys again.
func (f *Fleet) follow(ctx context.Context, m mirror, revision int64) {
	for ; ctx.Err() == nil; sleep(ctx, m.again) {
		var err error
		if revision == 0 {
			revision, err = m.read(ctx)
		}
		if err == nil {
			f.watch(ctx, m, revision+1)
		}
		revision = 0
	}
}

// watch applies changes from a revision on. It returns when all keys must be read again. A member of etcd with an older
// revision than the copy has lost data, or is late. It would send nothing until its revision catches up.
func (f *Fleet) watch(ctx context.Context, m mirror, from int64) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), readEvery)
	defer cancel()
	etcd := clientv3.NewWatcher(f.etcd) // because all watches of one get the signs of life
	defer func() { _ = etcd.Close() }()
	updates := etcd.Watch(ctx, m.prefix, clientv3.WithPrefix(), clientv3.WithRev(from), clientv3.WithFragment())
	var beside clientv3.WatchChan
	if m.beside != "" {
		beside = etcd.Watch(ctx, m.beside, clientv3.WithRev(from))
	}
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	for heard := time.Now(); time.Since(heard) < silence; {
		select {
		case <-ask.C:
			askFor(ctx, etcd)
			continue
		case <-m.wrong:
			return
		case update := <-beside:
			if !update.IsProgressNotify() {
				return
			}
		case update := <-updates:
			switch {
			case update.IsProgressNotify() && update.Header.Revision < from-1:
				return
			case update.IsProgressNotify(): // its revision may be too new
			case update.Err() != nil || len(update.Events) == 0: // or the channel is closed
				return
			default:
				m.apply(update.Header.Revision, update.Events)
				from = update.Header.Revision + 1
			}
		}
		heard = time.Now()
	}
}

// askFor asks for a sign of life.
func askFor(ctx context.Context, etcd clientv3.Watcher) {
	ctx, cancel := context.WithTimeout(ctx, askEvery)
	defer cancel()
	_ = etcd.RequestProgress(ctx)
}

// scan calls each for the keys with a prefix, in their order. All are of one revision, which scan returns. It reads
// pages, so that a reply stays below maxReply.
func (f *Fleet) scan(ctx context.Context, prefix string, each func(*mvccpb.KeyValue)) (revision int64, err error) {
	from, end, size := prefix, clientv3.GetPrefixRangeEnd(prefix), page
	for {
		bounded, cancel := f.call(ctx)
		got, err := f.etcd.Get(bounded, from, clientv3.WithRange(end), clientv3.WithLimit(int64(size)), clientv3.WithRev(revision))
		cancel()
		if status.Code(err) == codes.ResourceExhausted && size > 1 {
			size = max(1, size/4) // foreign values, which are larger
			continue
		}
		if err != nil {
			return 0, err
		}
		if revision == 0 {
			revision = got.Header.Revision
		}
		for _, kv := range got.Kvs {
			from = string(kv.Key) + "\x00"
			each(kv)
		}
		if !got.More {
			return revision, nil
		}
	}
}

// get reads keys. If etcd is away the error says why.
func (f *Fleet) get(ctx context.Context, key string, options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	bounded, cancel := f.call(ctx)
	defer cancel()
	got, err := f.etcd.Get(bounded, key, options...)
	return got, f.explain(ctx, key, err)
}

// sleep waits for d, and reports whether ctx has not ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
