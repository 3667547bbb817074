package fleet

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

func TestDecodeHead(t *testing.T) {
	t.Parallel()
	f, head := quiet(), strings.Repeat("a", 64)
	value := func(head string) string { return `{"schema":"sallyport-head/1","head":"` + head + `","size":7}` }
	for _, c := range []struct {
		key, value string
		version    int64
		is         error
	}{
		{"lab/heads/r/g/0000000000000000012", value(head), 1, nil},
		{"lab/heads/r/g/0000000000000000012", value(head), 2, ErrRewritten},
		{"lab/heads/r/g/12", value(head), 1, ErrForeign},
		{"lab/heads/r/0000000000000000012", value(head), 1, ErrForeign},
		{"lab/heads", value(head), 1, ErrForeign},
		{"other", value(head), 1, ErrForeign},
		{"lab/heads/r/g/0000000000000000012", value("A" + head[1:]), 1, ErrForeign},
		{"lab/heads/r/g/0000000000000000012", value(head[1:]), 1, ErrForeign},
		{"lab/heads/r/g/0000000000000000012", head, 1, ErrForeign},
	} {
		h := f.decodeHead(&mvccpb.KeyValue{Key: []byte(c.key), Value: []byte(c.value), Version: c.version})
		if !errors.Is(h.Fault, c.is) || h.Key != c.key || c.is == nil && (h.Rig != "r" || h.Gate != "g" || h.N != 12 || h.Size != 7) {
			t.Errorf("%+v: %+v", c, h)
		}
	}
}

func TestNumbersGrowInTheOrderOfTheKeys(t *testing.T) {
	t.Parallel()
	keys := []string{number(1), number(9), number(10), number(1e9), number(math.MaxInt64)}
	if !slices.IsSorted(keys) || len(keys[0]) != len(keys[4]) || !numberForm.MatchString(keys[4]) {
		t.Error(keys)
	}
}
