package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	headSchema = "sallyport-head/1"
	// noteEvery is the time between two heads while no session ends.
	noteEvery = time.Minute
	// maxHeads bounds the heads that are read, of all gates.
	maxHeads = 1_000_000
)

// Head is a head of a gate's log, as noted in etcd.
type Head struct {
	// Rig is the name of the rig, and Gate the id of the gate, 32 hex digits. N counts the heads of a gate and a rig
	// from 1.
	Rig  string `json:"-"`
	Gate string `json:"-"`
	N    uint64 `json:"-"`
	// Time is when the head was noted, by the gate's clock.
	Time time.Time `json:"time"`
	// Head is the chain value of the last line, and Size the length of the log's file in bytes.
	Head string `json:"head"`
	Size int64  `json:"size"`
	// Key is the key in etcd.
	Key string `json:"-"`
	// Fault is the reason why the key can't be as the gate wrote it. Then the other fields are not reliable. Nil means
	// no fault.
	Fault error `json:"-"`

	created int64 // the revision of the key's creation
}

// ErrRewritten is the fault of a head that was written more than once.
var ErrRewritten = errors.New("fleet: it was rewritten since it was noted")

// Noter notes the heads of a gate's log in etcd until Close. Each head has a key of its own, which is never written
// again. Make one with [Fleet.NoteHeads].
type Noter struct {
	*writer // its Changed asks for a note of the head
	fleet   *Fleet
	prefix  string // of the keys
	now     func() (head string, size int64)

	noted string // the last head in etcd
	n     uint64 // the number of the last key; zero if it is not known
}

// NoteHeads notes the head at the start, after each Changed, and once a minute, if it has changed, but at most twice a
// second. When etcd was away, the latest head is noted. now returns the head and the size of the log's file in bytes. A
// goroutine of the Noter calls it; it may wait for the disk.
func (f *Fleet) NoteHeads(rig, gate string, now func() (head string, size int64)) *Noter {
	n := &Noter{fleet: f, prefix: f.key("heads", rig, gate) + "/", now: now}
	n.writer = f.startWriter(noteEvery, retry, n.note, func(err error) {
		if err != nil {
			f.log.Warn("the head of the log can't be noted in etcd; it waits", "error", err)
		} else {
			f.log.Info("the head of the log is noted in etcd again")
		}
	})
	return n
}

// Close notes the last head, if etcd answers within a second.
func (n *Noter) Close() {
	n.stop()
	ctx, cancel := context.WithTimeoutCause(n.fleet.etcd.Ctx(), leaveTime, ErrAway)
	defer cancel()
	if err := n.note(ctx); err != nil {
		n.fleet.log.Warn("the last head of the log is not noted in etcd; the next start notes it", "error", err)
	}
}

// empty is the head of a log without lines.
var empty = strings.Repeat("0", 64)

// note writes the current head, if it is not in etcd yet.
func (n *Noter) note(ctx context.Context) error {
	head, size := n.now()
	if head == n.noted || head == empty {
		return nil
	}
	value, err := json.Marshal(struct {
		Schema string `json:"schema"`
		Head
	}{headSchema, Head{Time: time.Now().UTC(), Head: head, Size: size}})
	if err != nil {
		return err
	}
	for {
		if n.n == 0 {
			if n.n, err = n.last(ctx); err != nil {
				return err
			}
		}
		created, err := n.fleet.create(ctx, n.prefix+number(n.n+1), string(value))
		if err != nil {
			n.n = 0 // the key may have been written all the same
			return err
		}
		if created {
			n.n, n.noted = n.n+1, head
			return nil
		}
		n.n = 0 // another process is this gate
	}
}

// last returns the number of the last key. Zero means that there is no key.
func (n *Noter) last(ctx context.Context) (uint64, error) {
	got, err := n.fleet.get(ctx, n.prefix+"0", clientv3.WithRange(n.prefix+":"), clientv3.WithKeysOnly(), // ":" follows "9"
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithLimit(1))
	if err != nil || len(got.Kvs) == 0 {
		return 0, err
	}
	last, err := strconv.ParseUint(strings.TrimPrefix(string(got.Kvs[0].Key), n.prefix), 10, 63)
	if err != nil {
		err = fmt.Errorf("%w: %.200q, which is where heads are noted", ErrForeign, got.Kvs[0].Key)
	}
	return last, err
}

// number returns the last part of a head's key. The order of the keys is that of the numbers.
func number(n uint64) string { return fmt.Sprintf("%019d", n) }

// Heads returns the heads of a rig's gates, or of all rigs if the name is empty, in the order in which etcd got them.
// It returns at most 1,000,000 heads, and an error if there are more. A head that can't be as a gate wrote it has a
// Fault.
func (f *Fleet) Heads(ctx context.Context, rig string) (all []Head, err error) {
	prefix := f.key("heads") + "/"
	if rig != "" {
		prefix = f.key("heads", rig) + "/"
	}
	n := 0
	_, err = f.scan(ctx, prefix, func(kv *mvccpb.KeyValue) {
		if n++; n <= maxHeads {
			all = append(all, f.decodeHead(kv))
		}
	})
	err = f.explain(ctx, prefix, err)
	if n > maxHeads {
		err = fmt.Errorf("fleet: %d heads are noted, at most %d are read: choose a rig, or remove old heads", n, maxHeads)
	}
	slices.SortStableFunc(all, func(a, b Head) int { return cmp.Compare(a.created, b.created) })
	return all, err
}

var (
	headForm   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	numberForm = regexp.MustCompile(`^[0-9]{19}$`)
)

// decodeHead reads a key and its value.
func (f *Fleet) decodeHead(kv *mvccpb.KeyValue) (h Head) {
	fault := decode(kv.Value, headSchema, &h)
	parts, ok := f.parts(string(kv.Key))
	h.Key, h.created = string(kv.Key), kv.CreateRevision
	if !ok || len(parts) != 4 || !numberForm.MatchString(parts[3]) {
		h.Fault = fmt.Errorf("%w: its key is not heads/NAME/GATE/N", ErrForeign)
		parts = append(parts, "", "", "", "")
	}
	h.Rig, h.Gate = parts[1], parts[2]
	h.N, _ = strconv.ParseUint(parts[3], 10, 64)
	switch {
	case h.Fault != nil:
	case fault != nil:
		h.Fault = fault
	case !headForm.MatchString(h.Head):
		h.Fault = fmt.Errorf("%w: its head is %.80q", ErrForeign, h.Head)
	case kv.Version != 1:
		h.Fault = ErrRewritten
	}
	return h
}
