package penalty

import (
	"net/netip"
	"testing"
	"time"
)

// An attacker who fails from ever other addresses fills no memory, and doesn't make the Throttle forget the
// source that fails most.
func TestSourcesAreBounded(t *testing.T) {
	t.Parallel()
	l := &Throttle{Burst: 3}
	worst := netip.MustParsePrefix("192.0.2.1/32")
	for range 4 {
		l.Fail(worst)
	}
	began := time.Now()
	for i := range maxSources + 10 {
		l.Fail(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32))
	}
	if len(l.failed) != maxSources {
		t.Errorf("%d sources are remembered, want %d", len(l.failed), maxSources)
	}
	if _, known := l.failed[worst]; !known {
		t.Error("the worst of all is forgotten")
	}
	if time.Since(began) < time.Second && !l.Refuses(worst) { // it regains one per second
		t.Error("the worst of all is not throttled")
	}
}
