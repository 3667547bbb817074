package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// rigSchema is the schema of a Rig in etcd.
const rigSchema = "sallyport-rig/1"

// Bounds of what a gate registers.
const (
	maxTags   = 16
	maxAddr   = 300 // bytes
	maxHolder = 256 // bytes
	maxRigs   = 10_000
)

// Rig is a gate in the directory, and what it guards. Several gates may guard one rig: then they have one name.
type Rig struct {
	// Name is the rig's, and Gate the random id of the gate.
	Name string `json:"name"`
	Gate string `json:"gate"`
	// Addr is HOST:PORT, for clients. CA is the pin of the gate's private CA, empty if its CA is a public one.
	Addr string `json:"addr"`
	CA   string `json:"ca"`
	// Tags describe the rig.
	Tags    map[string]string `json:"tags"`
	Version string            `json:"version"`
	// Holder is the user who has the seat, since that time. Empty means that the seat is free.
	Holder string    `json:"holder"`
	Since  time.Time `json:"since,omitzero"`
	// Waiting is the number of clients in the queue.
	Waiting int `json:"waiting"`
	// Head is the head of the gate's log when this was written.
	Head string `json:"head"`
	// Seat means that the gate shares the seat with all gates of this name.
	Seat bool `json:"seat"`

	// Revision grows with each change of the rig in etcd.
	Revision int64 `json:"-"`
}

// Has reports whether the rig has all these tags.
func (r Rig) Has(tags map[string]string) bool {
	for key, value := range tags {
		if got, ok := r.Tags[key]; !ok || got != value {
			return false
		}
	}
	return true
}

var (
	names   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	gateIDs = regexp.MustCompile(`^[0-9a-f]{32}$`)
	values  = regexp.MustCompile(`^[\pL\pN\pP\pS ]{0,128}$`)
)

// CheckName returns an error if a name can't be a rig's.
func CheckName(name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("%.80q is no name of a rig: 1 to 64 letters, digits, '.', '_' and '-'", name)
	}
	return nil
}

// CheckTag returns an error if a tag can't be KEY=VALUE.
func CheckTag(key, value string) error {
	if !names.MatchString(key) || !values.MatchString(value) || !utf8.ValidString(value) {
		return fmt.Errorf("%.80q is not KEY=VALUE, with a KEY of 1 to 64 letters, digits, '.', '_' and '-', and a VALUE of at most 128 printable characters", key+"="+value)
	}
	return nil
}

// check returns an error if a rig can't be one that a gate has registered. A reader need not fear its fields.
func (r Rig) check() error {
	if _, _, err := net.SplitHostPort(r.Addr); err != nil || len(r.Addr) > maxAddr || strings.ContainsFunc(r.Addr, unprintable) {
		return fmt.Errorf("%w: its address is %.80q", ErrForeign, r.Addr)
	}
	if len(r.Tags) > maxTags {
		return fmt.Errorf("%w: it has %d tags", ErrForeign, len(r.Tags))
	}
	for key, value := range r.Tags {
		if err := CheckTag(key, value); err != nil {
			return fmt.Errorf("%w: %w", ErrForeign, err)
		}
	}
	if r.Waiting < 0 {
		return fmt.Errorf("%w: %d wait", ErrForeign, r.Waiting)
	}
	if err := CheckName(r.Name); err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// encode returns the value for etcd.
func (r Rig) encode() (string, error) {
	if len(r.Holder) > maxHolder {
		r.Holder = strings.ToValidUTF8(r.Holder[:maxHolder], "")
	}
	text, err := json.Marshal(struct {
		Schema string `json:"schema"`
		Rig
	}{rigSchema, r})
	if err == nil && len(text) > maxValue {
		err = fmt.Errorf("fleet: what the gate registers has %d bytes, at most %d fit: use fewer or shorter tags", len(text), maxValue)
	}
	return string(text), err
}

// decodeRig reads the value of a key. The name and the id are those of the key, whatever the value says.
func (f *Fleet) decodeRig(kv *mvccpb.KeyValue) (r Rig, err error) {
	parts, ok := f.parts(string(kv.Key))
	if !ok || len(parts) != 3 || !gateIDs.MatchString(parts[2]) {
		return r, fmt.Errorf("%w: its key is not rigs/NAME/GATE with a gate of 32 hex digits", ErrForeign)
	}
	if err := decode(kv.Value, rigSchema, &r); err != nil {
		return r, err
	}
	r.Name, r.Gate, r.Revision = parts[1], parts[2], kv.ModRevision
	return r, r.check()
}

// Rigs returns all rigs, by name and address. Values that are not Sallyport's are logged and left out. The error is
// [ErrAway] if etcd does not answer.
func (f *Fleet) Rigs(ctx context.Context) ([]Rig, error) {
	all, _, err := f.list(ctx)
	return sorted(all), err
}

// Follow calls on with all rigs, and again after each change, until ctx ends. It returns an error if etcd does not
// answer at the start. When etcd goes away later, Follow asks again until it is back.
func (f *Fleet) Follow(ctx context.Context, on func([]Rig)) error {
	all, revision, err := f.list(ctx)
	if err != nil {
		return err
	}
	on(sorted(all))
	f.follow(ctx, mirror{
		prefix: f.key("rigs") + "/", again: retry,
		read: func(ctx context.Context) (int64, error) {
			now, revision, err := f.list(ctx)
			if err == nil {
				all = now
				on(sorted(all))
			}
			return revision, err
		},
		apply: func(_ int64, changes []*clientv3.Event) {
			for _, change := range changes {
				f.take(all, change.Kv, change.Type == clientv3.EventTypeDelete)
			}
			on(sorted(all))
		},
	}, revision)
	return nil
}

// list returns the rigs by their keys, and the revision that has them.
func (f *Fleet) list(ctx context.Context) (all map[string]Rig, revision int64, err error) {
	all = map[string]Rig{}
	prefix := f.key("rigs") + "/"
	revision, err = f.scan(ctx, prefix, func(kv *mvccpb.KeyValue) { f.take(all, kv, false) })
	return all, revision, f.explain(ctx, prefix, err)
}

// take puts a rig into the table, or removes it if the key is removed or its value is not Sallyport's.
func (f *Fleet) take(all map[string]Rig, kv *mvccpb.KeyValue, removed bool) {
	key := string(kv.Key)
	if _, known := all[key]; removed || !known && len(all) >= maxRigs {
		delete(all, key)
		return
	}
	rig, err := f.decodeRig(kv)
	if err == nil && kv.Lease == 0 {
		f.report(kv, noLease(kv))
	}
	if err != nil {
		f.report(kv, err)
		delete(all, key)
		return
	}
	all[key] = rig
}

func sorted(all map[string]Rig) []Rig {
	return slices.SortedFunc(maps.Values(all), func(a, b Rig) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Addr, b.Addr), strings.Compare(a.Gate, b.Gate))
	})
}
