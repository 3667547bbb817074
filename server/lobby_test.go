package server

import (
	"net/netip"
	"testing"
	"time"
)

// TestFailedSourcesAreBounded: whoever fails from ever other addresses fills no memory, and doesn't
// make the server forget who fails most.
func TestFailedSourcesAreBounded(t *testing.T) {
	t.Parallel()
	l := &lobby{limits: Limits{FailedLogins: 3}.withDefaults(), sources: map[source]int{}, failed: map[source]bucket{}}
	worst := netip.MustParsePrefix("192.0.2.1/32")
	for range 4 {
		l.fail(worst)
	}
	began := time.Now()
	for i := range maxSources + 10 {
		l.fail(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32))
	}
	if len(l.failed) != maxSources {
		t.Errorf("%d sources are remembered, want %d", len(l.failed), maxSources)
	}
	if _, known := l.failed[worst]; !known {
		t.Error("the worst of all is forgotten")
	}
	if time.Since(began) < time.Second && !l.throttled(worst) { // it wins back one a second
		t.Error("the worst of all is not throttled")
	}
}
