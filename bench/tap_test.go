package bench

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTapKeeps(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	tap := &tap{numbered: true, start: start, events: []event{
		{"client", "write", 7, at(1)}, // who has the seat
		{"server", "read", 7, at(2)},
		{"server", "log", 0, at(3)},
		{"server", "read", 9, at(4)},
		{"server", "log", 0, at(5)},
		{"client", "read", 7, at(6)},
		{"client", "read", 9, at(7)},
		{"client", "read", 9, at(8)}, // after the step
	}}
	tap.keep(7)
	want := map[string][]time.Duration{
		"client 1: write 1": {1}, "server 1: read 1": {2}, "server: log 1": {3}, "server 2: read 1": {4},
		"server: log 2": {5}, "client 1: read 1": {6}, "client 2: read 1": {7},
	}
	if diff := cmp.Diff(want, tap.times); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMoments(t *testing.T) {
	t.Parallel()
	l := Timeline{Steps: 3, tap: &tap{times: map[string][]time.Duration{
		"late": {9, 7, 8}, "early": {2, 1}, "seldom": {3},
	}}}
	if diff := cmp.Diff([]Moment{{"early", 1}, {"late", 8}}, l.Moments()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
