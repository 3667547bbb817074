package fleet

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

func TestCheckTag(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"board=imx8", "a.b_c-d=", "kit=ü & <b> 'x'", strings.Repeat("k", 64) + "=" + strings.Repeat("v", 128)} {
		key, value, _ := strings.Cut(good, "=")
		if err := CheckTag(key, value); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"=v", "a b=v", "k=a\tb", "k=\x1b[2J", "k=\u202e", "k=" + strings.Repeat("v", 129), strings.Repeat("k", 65) + "=", "k=\xff"} {
		key, value, _ := strings.Cut(bad, "=")
		if err := CheckTag(key, value); err == nil || !strings.Contains(err.Error(), "KEY=VALUE") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{
		"rig1": true, "A.b_c-9": true, strings.Repeat("n", 64): true,
		"": false, "a/b": false, "a b": false, "ü": false, strings.Repeat("n", 65): false, "a\n": false,
	} {
		if err := CheckName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestHasTags(t *testing.T) {
	t.Parallel()
	rig := Rig{Tags: map[string]string{"board": "imx8", "site": ""}}
	for _, test := range []struct {
		tags map[string]string
		want bool
	}{
		{nil, true},
		{map[string]string{"board": "imx8"}, true},
		{map[string]string{"board": "imx8", "site": ""}, true},
		{map[string]string{"board": "imx9"}, false},
		{map[string]string{"board": "imx8", "other": ""}, false},
	} {
		if rig.Has(test.tags) != test.want {
			t.Error(test)
		}
	}
}

// The names of rig and gate come from the key, not from the value.
func TestTheKeyNamesTheRig(t *testing.T) {
	t.Parallel()
	f := &Fleet{prefix: "lab"}
	gate := strings.Repeat("0", 32)
	value, err := Rig{Name: "other", Gate: "x", Addr: "a:1"}.encode()
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.decodeRig(&mvccpb.KeyValue{Key: []byte("lab/rigs/mine/" + gate), Value: []byte(value), ModRevision: 7})
	if err != nil || r.Name != "mine" || r.Gate != gate || r.Revision != 7 {
		t.Error(r, err)
	}
}

// An entry with the longest values can be written and read again.
func TestEncodeIsBounded(t *testing.T) {
	t.Parallel()
	long := Rig{
		Addr: strings.Repeat("a", 290) + ":65535", CA: strings.Repeat("c", 50), Version: strings.Repeat("v", 100),
		Holder: strings.Repeat("ü", 4096), Since: time.Now(), Waiting: 1 << 30, Head: strings.Repeat("0", 64), Tags: map[string]string{},
	}
	value, err := long.encode()
	var again Rig
	if err != nil || decode([]byte(value), rigSchema, &again) != nil {
		t.Fatal(err)
	}
	if len(again.Holder) != maxHolder || again.Addr != long.Addr {
		t.Error(len(again.Holder), again.Addr)
	}
	for i := range maxTags {
		long.Tags[strings.Repeat(string(rune('a'+i)), 64)] = strings.Repeat("<", 128)
	}
	if _, err := long.encode(); err == nil || !strings.Contains(err.Error(), "fewer or shorter tags") {
		t.Error("more than fits:", err)
	}
}

func TestReportOnce(t *testing.T) {
	t.Parallel()
	n := 0
	f := &Fleet{reported: map[string]int64{}, log: counting(&n)}
	for range 3 {
		f.report(&mvccpb.KeyValue{Key: []byte("a"), ModRevision: 1}, errors.New("x"))
	}
	f.report(&mvccpb.KeyValue{Key: []byte("a"), ModRevision: 2}, errors.New("x"))
	for i := range 2 * maxReported {
		f.report(&mvccpb.KeyValue{Key: []byte(fmt.Sprint(i, strings.Repeat("k", 2*maxKey))), ModRevision: 1}, errors.New("x"))
	}
	if want := 2 + maxReported - 1; n != want {
		t.Errorf("%d messages, %d wanted", n, want)
	}
	for key := range f.reported {
		if len(key) > maxKey {
			t.Error("kept:", len(key), "bytes")
		}
	}
}

// counting returns a logger that counts its messages.
func counting(n *int) *slog.Logger {
	return slog.New(slog.NewTextHandler(writerFunc(func() { *n++ }), nil))
}

type writerFunc func()

func (f writerFunc) Write(p []byte) (int, error) { f(); return len(p), nil }
