package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// steady is what takes that long in each of so many rounds.
func steady(rounds int, times map[string]float64) results {
	r := results{}
	for round := range rounds {
		for name, took := range times {
			r.add(round, sample{Name: name, Metrics: map[string]float64{"ns/op": took, "allocs/op": 2, "B/stranger": 2048}})
		}
	}
	return r
}

func TestJSON(t *testing.T) {
	r := steady(8, map[string]float64{
		"G/of=sallyport": 1250, "G/of=tls": 1000, "PeerG/of=sallyport": 100, "PeerG/of=ssh": 250,
	})
	memory := goal{name: "memory", of: []selector{"G/of=sallyport"}, metric: "B/stranger", take: alone, show: octets, limit: atMost(4096)}
	var out bytes.Buffer
	if err := writeJSON(&out, rows([]goal{
		over("G", "tls", atMost(1.1), ""), over("G", "tls", reported, ""), against("PeerG", "ssh", "", above(2)), memory,
	}, r)); err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	ratio := func(r, goal, met any, sign string, more map[string]any) map[string]any {
		more["ratio"], more["ratio_low"], more["ratio_high"] = r, r, r
		more["goal"], more["met"], more["sign"] = goal, met, sign
		return more
	}
	floor := func() map[string]any {
		return map[string]any{"name": "G/over=tls", "ours_ns": 1250., "floor_ns": 1000., "ours_allocs": 2., "floor_allocs": 2.}
	}
	want := []any{
		ratio(1.25, 1.1, false, "<=", floor()),
		ratio(1.25, nil, nil, "<=", floor()),
		ratio(2.5, 2., true, ">", map[string]any{
			"name": "PeerG/against=ssh", "ours_ns": 100., "peer_ns": 250., "ours_allocs": 2., "peer_allocs": 2.,
		}),
		ratio(nil, 4096., true, "<=", map[string]any{"name": "memory", "ours_ns": 1250., "ours_allocs": 2., "ours_bytes": 2048.}),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Too few rounds have no interval, and JSON has no number for that.
func TestJSONWithoutInterval(t *testing.T) {
	var out bytes.Buffer
	made := rows([]goal{over("G", "tls", atMost(1.1), "")}, steady(1, map[string]float64{"G/of=sallyport": 1, "G/of=tls": 1}))
	if err := writeJSON(&out, made); err != nil || !strings.Contains(out.String(), `"ratio_low": null`) {
		t.Errorf("%v: %s", err, &out)
	}
	out.Reset()
	if err := writeJSON(&out, nil); err != nil || out.String() != "[]\n" {
		t.Errorf("nothing: %v: %q", err, &out)
	}
}

func TestMarkdown(t *testing.T) {
	r := steady(8, map[string]float64{"G/of=sallyport": 1250.1, "G/of=tls": 1000.1})
	var out bytes.Buffer
	if err := writeMarkdown(&out, rows([]goal{
		over("G", "tls", atMost(1.1), "one"), over("G", "tls", below(1.25), "two"), over("G", "tls", reported, "three"),
	}, r), "Machine: mine."); err != nil {
		t.Fatal(err)
	}
	want := `| figure | ours    | floor or peer | ratio (95 % interval)  | goal     |            |
| ------ | ------- | ------------- | ---------------------- | -------- | ---------- |
| one    | 1.26 µs | 1.00 µs       | 1.250 (1.249 to 1.250) | ≤ 1.10   | **missed** |
| two    | 1.26 µs | 1.00 µs       | 1.250 (1.249 to 1.250) | < 1.25   | met        |
| three  | 1.26 µs | 1.00 µs       | 1.250 (1.249 to 1.250) | reported |            |

Machine: mine.
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestUnitsAreRoundedAgainstTheProduct(t *testing.T) {
	for _, c := range []struct {
		unit  unit
		value float64
		up    bool
		want  string
	}{
		{duration, 999.2, true, "1000 ns"},
		{duration, 1000, true, "1.00 µs"},
		{duration, 1001, true, "1.01 µs"},
		{duration, 1009, false, "1.00 µs"},
		{duration, 2500e3, true, "2.50 ms"},
		{duration, 1.5e9, true, "1.50 s"},
		{allocations, 2.0001, true, "2.001"},
		{octets, 28673, true, "28.01 KiB"},
		{times, 0.5001, true, "1.99 ×"},
		{times, 0.4999, false, "2.01 ×"},
		{duration, math.Inf(1), true, "? s"},
	} {
		if got := c.unit.print(c.value, c.up); got != c.want {
			t.Errorf("%v: %s, want %s", c.value, got, c.want)
		}
	}
}

// Each plot is drawn of what was measured, and none stays of an earlier run.
func TestPlots(t *testing.T) {
	out := t.TempDir()
	if err := drawAll(out, made(typicalTimes())); err != nil {
		t.Fatal(err)
	}
	for _, d := range drawings() {
		text, err := os.ReadFile(filepath.Join(out, d.file))
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(text), "floor") && !strings.Contains(string(text), "Sallyport") {
			t.Errorf("%s has no legend", d.file)
		}
	}
	if err := drawAll(out, results{}); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(out, "*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// What a login's parts leave is the rest: together they are the login.
func TestLoginParts(t *testing.T) {
	r := steady(8, typicalTimes())
	times, ok := splitLogin(r, "derived", "4096")
	if want := []float64{700e3, 900e3, 15e3, 20e3, 12e3, 23e3}; !ok || !cmp.Equal(want, times) {
		t.Errorf("%v, want %v", times, want)
	}
	times, _ = splitLogin(r, "cached", "4096")
	if want := []float64{700e3, 0, 15e3, 20e3, 12e3, 13e3}; !cmp.Equal(want, times) {
		t.Errorf("%v, want %v", times, want)
	}
}
