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

// Rig is the directory's entry of a gate. Several gates may guard one rig: then they have the same Name.
type Rig struct {
	// Name is the name of the rig, see [CheckName]. Gate is the random id of the gate, 32 hex digits.
	Name string `json:"name"`
	Gate string `json:"gate"`
	// Addr is HOST:PORT, for clients, at most 300 bytes. CA is the pin of the gate's private CA. Empty means a public
	// CA.
	Addr string `json:"addr"`
	CA   string `json:"ca"`
	// Tags describe the rig, at most 16, see [CheckTag]. Version is that of the gate's program.
	Tags    map[string]string `json:"tags"`
	Version string            `json:"version"`
	// Holder is the user who has the seat, and Since when the session began. Empty means that the seat is free.
	Holder string    `json:"holder"`
	Since  time.Time `json:"since,omitzero"`
	// Waiting is the number of clients in the queue.
	Waiting int `json:"waiting"`
	// Head is the head of the gate's log when the entry was written.
	Head string `json:"head"`
	// Seat means that the gate shares the seat with all gates of this name.
	Seat bool `json:"seat"`

	// Revision is etcd's revision of the entry. It grows with each change.
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

// CheckName returns an error if a name can't be the name of a rig: 1 to 64 letters, digits, '.', '_' and '-'.
func CheckName(name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("%.80q is no name of a rig: 1 to 64 letters, digits, '.', '_' and '-'", name)
	}
	return nil
}

// CheckTag returns an error if key and value can't be a tag. A key has the form of a rig's name. A value has at most
// 128 printable characters, and may be empty.
func CheckTag(key, value string) error {
	if !names.MatchString(key) || !values.MatchString(value) || !utf8.ValidString(value) {
		return fmt.Errorf("%.80q is not KEY=VALUE, with a KEY of 1 to 64 letters, digits, '.', '_' and '-', and a VALUE of at most 128 printable characters", key+"="+value)
	}
	return nil
}

// check returns an error if a gate can't have registered such a rig. After it the fields are safe to show and to use.
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

// decodeRig reads the value of a key. The name and the id come from the key, not from the value.
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

// Rigs returns all rigs, sorted by name and address, at most 10,000. Values that are not Sallyport's are logged and
// left out. The error wraps [ErrAway] or [ErrRefused].
func (f *Fleet) Rigs(ctx context.Context) ([]Rig, error) {
	all, _, err := f.list(ctx)
	return sorted(all), err
}

// Follow calls on with all rigs, and again after each change, until ctx ends. It returns the errors of [Fleet.Rigs] if
// the first reading fails. When etcd goes away later, Follow asks again until etcd is back.
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

// list returns the rigs by their keys, and the revision at which they were read.
func (f *Fleet) list(ctx context.Context) (all map[string]Rig, revision int64, err error) {
	all = map[string]Rig{}
	prefix := f.key("rigs") + "/"
	revision, err = f.scan(ctx, prefix, func(kv *mvccpb.KeyValue) { f.take(all, kv, false) })
	return all, revision, f.explain(ctx, prefix, err)
}

// take puts a rig into all. If the key is removed or its value is not Sallyport's, take removes the rig.
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
