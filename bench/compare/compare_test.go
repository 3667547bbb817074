package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/perf/benchfmt"

	"github.com/sallyport/sallyport/bench"
	"github.com/sallyport/sallyport/bench/compare/peers"
)

func names(groups []bench.Group) (names []string) {
	for _, g := range groups {
		for _, s := range g.Subjects {
			names = append(names, g.Name+"/"+s.Name)
		}
	}
	return names
}

// Each goal compares subjects that exist.
func TestGoals(t *testing.T) {
	dir := t.TempDir() // as servers.sh leaves it where no server is installed
	for name, text := range map[string]string{"servers.json": "{}", "password": "", "ca.pem": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	groups, err := peers.Groups(dir)
	if err != nil {
		t.Fatal(err)
	}
	subjects, seen := names(groups), map[string]bool{}
	installed := regexp.MustCompile("of=(postgres|dovecot|openssh|redis|redis-go|socat|stunnel|ghostunnel)$")
	for _, g := range goals() {
		if seen[g.name] || g.figure == "" {
			t.Errorf("%+v", g)
		}
		seen[g.name] = true
		for _, name := range g.of {
			if !slices.Contains(subjects, name) && !installed.MatchString(name) {
				t.Errorf("%s: there is no %s", g.name, name)
			}
		}
	}
}

// measured is what the subjects of a goal come to, in rounds of different speed.
func measured(g goal, rounds int, values ...float64) results {
	r := results{}
	for round := range rounds {
		for i, name := range g.of {
			metrics := map[string]float64{"ns/op": values[i] * float64(1+round%3), "allocs/op": 2}
			if g.metric != "" {
				metrics[g.metric] = values[i]
			}
			r[name] = append(r[name], bench.Sample{Metrics: metrics})
		}
	}
	return r
}

// Each kind of goal can be met, and missed.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		ratio  float64
		met    bool
	}{
		{"Login/keys=cached/iterations=4096/over=tls", []float64{125, 100}, 1.25, true},
		{"Login/keys=cached/iterations=4096/over=tls", []float64{125.1, 100}, 1.251, false},
		{"Login/keys=derived/iterations=4096/over=pbkdf2", []float64{1750, 760, 900}, 1.1, false},
		{"Request/size=64/allocs/over=tls", []float64{2.05, 2}, 1.025, false},
		{"Request/size=64/against=http2", []float64{10, 9.9}, 0.99, false},
		{"Request/size=64/against=http2", []float64{10, 10.1}, 1.01, true},
		{"Sessions/clients=8/scaling/over=tls", []float64{500, 800, 700, 350}, 0.8, false},
		{"Lobby/idle=1000/p99/over=idle=0", []float64{131, 100}, 1.31, false},
		{"Lobby/idle=1000/memory", []float64{28<<10 + 1}, 28<<10 + 1, false},
		{"Login/keys=cached/iterations=4096/against=postgres", []float64{10, 40}, 4, true},
		{"Login/keys=cached/iterations=4096/against=postgres", []float64{10, 39}, 3.9, false},
	} {
		g := goals()[slices.IndexFunc(goals(), func(g goal) bool { return g.name == c.name })]
		r, ok := g.judge(measured(g, 8, c.values...))
		if !ok || math.Abs(r.ratio.mid/c.ratio-1) > 1e-9 || r.met() != c.met {
			t.Errorf("%s of %v: %v, met: %v", c.name, c.values, r.ratio, r.met())
		}
	}
}

// The ratio is that of each round. That of two medians would be another where a run was interrupted.
func TestRatioIsPaired(t *testing.T) {
	g := over("G", "tls", atMost(1.05), "")
	r := measured(g, 20, 105, 100)
	r["G/of=tls"] = r["G/of=tls"][:10]
	if row, ok := g.judge(r); !ok || row.ratio != (estimate{1.05, 1.05, 1.05}) {
		t.Errorf("%+v", row)
	}
	delete(r, "G/of=tls")
	if made := rows([]goal{g}, r); made != nil {
		t.Errorf("a row without its floor: %+v", made)
	}
}

func TestMedian(t *testing.T) {
	var values []float64
	for i := range 99 {
		values = append(values, float64((i*37)%99+1)) // 1 to 99, in no order
	}
	if m := median(values); m != (estimate{50, 40, 60}) || values[1] != 38 {
		t.Errorf("median of 1 to 99: %v", m)
	}
	if m := median(values[:5]); !math.IsInf(m.low, -1) && !math.IsInf(m.high, 1) {
		t.Errorf("five values say too much: %v", m)
	}
}

// What is printed is rounded against the product.
func TestReport(t *testing.T) {
	floor, peer := over("G", "tls", atMost(1.1), "one"), over("P", "ssh", faster, "two")
	peer.peer = true
	memory := goal{name: "M", figure: "three", of: []string{"M"}, metric: "B/stranger", unit: size, limit: atMost(28 << 10)}
	r, out := measured(floor, 1, 1250, 1009), t.TempDir()
	maps.Copy(r, measured(peer, 8, 10, 25))
	maps.Copy(r, measured(memory, 8, 20<<10+1))
	var table bytes.Buffer
	if err := report(out, rows([]goal{floor, peer, memory}, r), r, &table); err != nil {
		t.Fatal(err)
	}
	want := `| figure | ours      | floor or peer | ratio (95 % interval)    | goal        |            |
| ---    | ---       | ---           | ---                      | ---         | ---        |
| one    | 1.25 µs   | 1.00 µs       | 1.239 (? to ?)           | ≤ 1.10      | **missed** |
| two    | 20 ns     | 50 ns         | 2.500 (2.500 to 2.500)   | ≥ 1.00      | met        |
| three  | 20.01 KiB |               | (20.00 KiB to 20.01 KiB) | ≤ 28.00 KiB | met        |
`
	got, _, _ := strings.Cut(table.String(), "\nMachine: ")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	want = `[
		{"name": "G/over=tls", "ours_ns": 1250, "floor_ns": 1009, "ours_allocs": 2, "floor_allocs": 2,
			"ratio": 1.2388503468780971, "ratio_low": null, "ratio_high": null, "sign": "<=", "goal": 1.1, "met": false},
		{"name": "P/over=ssh", "ours_ns": 20, "peer_ns": 50, "ours_allocs": 2, "peer_allocs": 2,
			"ratio": 2.5, "ratio_low": 2.5, "ratio_high": 2.5, "sign": ">=", "goal": 1, "met": true},
		{"name": "M", "ours_ns": 40962, "ours_allocs": 2, "ours_bytes": 20481,
			"ratio": null, "ratio_low": null, "ratio_high": null, "sign": "<=", "goal": 28672, "met": true}]`
	text, _ := os.ReadFile(filepath.Join(out, "report.json"))
	var list, wanted []map[string]any
	if err := errors.Join(json.Unmarshal(text, &list), json.Unmarshal([]byte(want), &wanted)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wanted, list); diff != "" {
		t.Error(diff)
	}
}

// group has subjects that take no time.
func group(name string, start func(bench.T), of ...string) bench.Group {
	g := bench.Group{Name: name, Rounds: 3, Block: time.Microsecond}
	for _, of := range of {
		g.Subjects = append(g.Subjects, bench.Subject{Name: "of=" + of, Start: func(t bench.T) *bench.Rig {
			start(t)
			return bench.Timed(1, func() error { return nil })
		}})
	}
	return g
}

func ok(bench.T) {}

// What is chosen brings along what it is compared with.
func TestChoose(t *testing.T) {
	groups := []bench.Group{group("G", ok, "sallyport", "tls", "tcp"), group("H", ok, "sallyport", "ssh")}
	peer := over("H", "ssh", faster, "")
	peer.peer = true
	for pattern, want := range map[string][]string{
		"^G/of=sallyport$": {"G/of=sallyport", "G/of=tls"}, "of=tcp": {"G/of=tcp"}, "nothing": nil,
		"ssh": {"H/of=sallyport", "H/of=ssh"}, "": {"H/of=sallyport", "H/of=ssh"},
	} {
		o := options{match: regexp.MustCompile(pattern), rounds: 7, peers: pattern == ""}
		chosen := o.choose(groups, []goal{over("G", "tls", atMost(1), ""), peer})
		if got := names(chosen); !cmp.Equal(want, got) || len(chosen) > 0 && chosen[0].Rounds != 7 {
			t.Errorf("%q chooses %q, want %q", pattern, got, want)
		}
	}
}

// A group that fails takes down what it has set up, last first, and the next one runs.
func TestMeasureGoesOn(t *testing.T) {
	var done, raw bytes.Buffer
	broken := group("A", func(t bench.T) {
		t.Cleanup(func() { done.WriteString(" first") })
		t.Cleanup(func() { t.Cleanup(func() { done.WriteString(" late") }); t.Fatalf("cleaning") })
		t.Fatalf("no %s", "server")
	}, "tls")
	r, err := measure(t.Context(), []bench.Group{broken, group("B", ok, "sallyport", "tls")}, &raw, io.Discard)
	if err == nil || err.Error() != "A: no server\ncleaning" || done.String() != " late first" {
		t.Errorf("cleaned up%s: %v", &done, err)
	}
	if len(r) != 2 || len(r["B/of=tls"]) != 3 || strings.Count(raw.String(), "BenchmarkB/of=tls-") != 3 {
		t.Errorf("measured %v: %s", r, &raw)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// An interrupted run ends after the current turn, cleans up, and reports what it has.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	turns, cleaned := -1, false // the first line is no turn
	raw := writer(func([]byte) {
		if turns++; turns == 3 {
			cancel()
		}
	})
	groups := []bench.Group{group("A", func(t bench.T) { t.Cleanup(func() { cleaned = true }) }, "sallyport", "tls"), group("B", ok, "tls")}
	r, err := measure(ctx, groups, raw, io.Discard)
	if err != errInterrupted || turns != 3 || !cleaned || len(rows([]goal{over("A", "tls", atMost(1), "")}, r)) != 1 {
		t.Errorf("%d turns, cleaned up: %v, %v", turns, cleaned, err)
	}
	out := t.TempDir()
	code := run(ctx, []string{"-out", out, "-bench", "size=64/of=tcp"}, io.Discard, io.Discard)
	if _, err := os.Stat(filepath.Join(out, "report.md")); err != nil || code != 1 {
		t.Errorf("exit %d, %v", code, err)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		arguments string
		code      int
		says      string
	}{
		{"-help", 0, "-bench Login"},
		{"-bench nobody", 1, `compare: no benchmark's name matches "nobody"`},
		{"-bench [", 2, "error parsing regexp"},
		{"-rounds -1", 2, `invalid value "-1"`},
		{"Request", 2, `unexpected argument "Request"`},
	} {
		var out, err bytes.Buffer
		code := run(t.Context(), strings.Fields(c.arguments), &out, &err)
		if code != c.code || !strings.Contains(err.String(), c.says) || out.Len() > 0 {
			t.Errorf("%s: exit %d, %s", c.arguments, code, &err)
		}
	}
}

// A whole run, as short as can be: table, plots, and the format of Go's benchmarks.
func TestRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "new", "out")
	var table, said bytes.Buffer
	arguments := []string{"-out", out, "-bench", "size=64/of=tls", "-rounds", "2", "-block", "1ms"}
	if code := run(t.Context(), arguments, &table, &said); code != 0 || !strings.Contains(said.String(), "Request, round 1 of 2, ") {
		t.Fatalf("exit %d: %s", code, &said)
	}
	read := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(out, name))
		return string(text)
	}
	if read("report.md") != table.String() || !strings.Contains(table.String(), "| Request 64 B, log on, over bare TLS ") {
		t.Errorf("printed\n%s", &table)
	}
	if !strings.Contains(read("latency-request.svg"), "sallyport") || !strings.Contains(read("request-size.svg"), "sallyport") {
		t.Error("a plot is missing")
	}
	turns := 0
	for lines := benchfmt.NewReader(strings.NewReader(read("raw.txt")), "raw.txt"); lines.Scan(); turns++ {
		if r, ok := lines.Result().(*benchfmt.Result); !ok || r.GetConfig("cpu") == "" || r.GetConfig("pkg") == "" {
			t.Errorf("not in the format: %v", lines.Result())
		}
	}
	if turns != 2*4 {
		t.Errorf("%d turns in raw.txt", turns)
	}
	if err := draw(out, results{}); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(out, "*.svg")); left != nil {
		t.Errorf("plots of nothing: %q", left)
	}
}
