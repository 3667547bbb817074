package main

import (
	"net/netip"
	"strings"
	"testing"
)

func TestTrustFlag(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.7":               "[192.0.2.7/32]",
		"192.0.2.7/24":            "[192.0.2.0/24]",
		"::ffff:192.0.2.7":        "[192.0.2.7/32]",
		"::ffff:192.0.2.7/120":    "[192.0.2.0/24]",
		"2001:db8:1:2ff::1":       "[2001:db8:1:200::/56]",
		"2001:db8::/32,192.0.2.7": "[2001:db8::/32 192.0.2.7/32]",
		"2001:db8::/64":           "only a part of a source",
		"::ffff:0:0/95":           "only a part of a source",
		"localhost":               "is no address",
		"192.0.2.7/33":            "is no address",
	} {
		var all []netip.Prefix
		err := trustFlag{&all}.Set(text)
		if got := (trustFlag{&all}).String(); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
}
