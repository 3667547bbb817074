package keeper

import (
	"strings"
	"testing"
)

func TestRing(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 3, 7} {
		r, all := ring{size: size}, ""
		for i := range 40 {
			next := strings.Repeat(string(rune('a'+i%26)), i%11)
			r.add([]byte(next))
			all += next
			if want := all[max(0, len(all)-size):]; string(r.bytes()) != want {
				t.Fatalf("%q, not %q", r.bytes(), want)
			}
		}
	}
}
