package fleet

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// scan calls each for the keys with a prefix, in their order, as they are at one revision, which it returns. It reads
// pages, so that a reply stays below maxReply.
func (f *Fleet) scan(ctx context.Context, prefix string, each func(*mvccpb.KeyValue)) (revision int64, err error) {
	from, end, size := prefix, clientv3.GetPrefixRangeEnd(prefix), page
	for {
		got, err := f.get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(int64(size)), clientv3.WithRev(revision))
		if status.Code(err) == codes.ResourceExhausted && size > 1 {
			size /= 4 // foreign values, which are larger
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
