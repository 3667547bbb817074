//go:build linux

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

// seen returns arrivals from "a 0 10 20; b 30", with times in ms.
func seen(text string) (all []arrival) {
	for part := range strings.SplitSeq(text, ";") {
		words := strings.Fields(part)
		for i, word := range words[1:] {
			ms := 0
			_, _ = fmt.Sscan(word, &ms)
			all = append(all, arrival{at(ms), words[0], fmt.Sprint(i)})
		}
	}
	return all
}

func TestOverlaps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		seen    string
		stopped bool
		fails   bool
		longest int
	}{
		{"a 0 10 20;b 30 40", false, false, 0},
		{"a 0 10 35;b 30 40", false, false, 5},
		{"a 0 1030;b 30 40", false, false, 1000},
		{"a 0 1031;b 30 40", false, true, 1001},
		{"a 0 2000;b 30 40", true, false, 1970},
		{"a 0 2000 2000;b 30 40", true, true, 1970},
		{"a 0 9000;b 1 2;c 30 40", false, true, 8999},
	} {
		all := drives(seen(tt.seen))
		all[0].stopped = tt.stopped
		longest, err := overlaps(all)
		if longest.Milliseconds() != int64(tt.longest) || (err != nil) != tt.fails {
			t.Errorf("%s: %v, %v", tt.seen, longest, err)
		}
	}
}

func TestTokensGrow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		tokens []int64
		fails  bool
	}{{[]int64{1, 2, 9}, false}, {[]int64{1, 3, 2}, true}, {[]int64{1, 1}, true}, {[]int64{1, 0}, true}} {
		all := drives(seen("a 0;b 10;c 20")[:len(tt.tokens)])
		for i, token := range tt.tokens {
			all[i].token = token
		}
		if err := tokensGrow(all); (err != nil) != tt.fails {
			t.Errorf("%v: %v", tt.tokens, err)
		}
	}
}

func TestInOrder(t *testing.T) {
	t.Parallel()
	first := asked{"a", at(0), at(10), 5, false}
	for _, tt := range []struct {
		second asked
		fails  bool
	}{
		{asked{"b", at(20), at(30), 6, false}, false},
		{asked{"b", at(20), at(30), 4, false}, true},
		{asked{"b", at(5), at(30), 4, false}, false}, // who knows
		{asked{"b", at(20), time.Time{}, 4, false}, true},
		{asked{"b", at(20), at(30), 6, true}, true},
	} {
		if err := inOrder([]asked{first, tt.second}); (err != nil) != tt.fails {
			t.Errorf("%v: %v", tt.second, err)
		}
	}
}

func TestSilences(t *testing.T) {
	t.Parallel()
	all := seen("a 0 10 500;b 600 2000")
	for _, tt := range []struct{ from, to, want int }{{0, 2000, 1400}, {5, 550, 490}, {700, 1000, 300}, {2000, 5000, 3000}, {-90, 0, 90}} {
		if got := silences(all, at(tt.from), at(tt.to)); got.Milliseconds() != int64(tt.want) {
			t.Errorf("%v: %v", tt, got)
		}
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	plan, err := parsePlan(shortFaults)
	if err != nil || len(plan) != 3 || plan[0] != (fault{"gate-stop", 18 * time.Second}) {
		t.Error(plan, err)
	}
	for _, text := range []string{"gate-stop", "gate-stop=x", "flood=1s", "gate-stop=1s,"} {
		if _, err := parsePlan(text); err == nil {
			t.Error(text)
		}
	}
}

func TestDeviceNotes(t *testing.T) {
	t.Parallel()
	d := &device{}
	rest := d.note([]byte("c07.00012 00000345\nc07.000"), noon)
	rest = d.note(append(rest, "12 00000346\n"...), noon)
	if len(rest) != 0 || len(d.arrivals) != 2 || d.arrivals[1].session != "c07.00012" || d.arrivals[1].counter != "00000346" || len(d.strange) != 0 {
		t.Error(rest, d.arrivals, d.strange)
	}
	if d.note([]byte("c07.00012 0000034c07"), noon); len(d.strange) != 1 {
		t.Error("a message that was cut is not noticed")
	}
}
