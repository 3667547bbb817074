package main

import (
	"bytes"
	"context"
	"errors"
	"io"
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
)

func TestSetupCleansUpLastFirst(t *testing.T) {
	var done []string
	clean := func(name string) func() { return func() { done = append(done, name) } }
	err := withSetup(io.Discard, func(t bench.T) error {
		t.Cleanup(clean("first"))
		t.Cleanup(func() { t.Cleanup(clean("late")); t.Fatalf("cleaning: %d", 1) })
		t.Cleanup(clean("last"))
		t.Fatalf("no %s", "server")
		return nil
	})
	if err == nil || err.Error() != "no server\ncleaning: 1" {
		t.Errorf("error: %v", err)
	}
	if want := []string{"last", "late", "first"}; !slices.Equal(done, want) {
		t.Errorf("cleaned up %q, want %q", done, want)
	}
}

func TestSetupKeepsForeignPanics(t *testing.T) {
	defer func() {
		if recover() != "bug" {
			t.Error("a panic was swallowed")
		}
	}()
	_ = withSetup(io.Discard, func(bench.T) error { panic("bug") })
}

// idle is a group whose subjects take a millisecond a step.
func idle(name string, start func(bench.T), of ...string) bench.Group {
	g := bench.Group{Name: name, Rounds: 3, Block: time.Millisecond}
	for _, of := range of {
		g.Subjects = append(g.Subjects, bench.Subject{Name: "of=" + of, Start: func(t bench.T) *bench.Rig {
			start(t)
			return &bench.Rig{Step: func() (time.Duration, error) {
				time.Sleep(time.Millisecond)
				return time.Millisecond, nil
			}}
		}})
	}
	return g
}

func ok(bench.T)      {}
func fails(t bench.T) { t.Fatalf("it is broken") }

func newCampaign(raw io.Writer, shown io.Writer, groups []bench.Group) *campaign {
	return &campaign{
		raw: raw, progress: newProgress(shown, false, groups), results: results{},
		keep: func(name string) bool { return strings.HasSuffix(name, "of=tls") },
	}
}

func TestCampaignGoesOnAfterAFailure(t *testing.T) {
	var raw, shown bytes.Buffer
	groups := []bench.Group{idle("A", fails, "tls"), idle("B", ok, "sallyport", "tls")}
	c := newCampaign(&raw, &shown, groups)
	if err := c.run(t.Context(), groups); err == nil || err.Error() != "A: it is broken" {
		t.Errorf("error: %v", err)
	}
	if want := []string{"B/of=sallyport", "B/of=tls"}; !cmp.Equal(want, c.results.names()) {
		t.Errorf("measured %q", c.results.names())
	}
	if n := strings.Count(raw.String(), "BenchmarkB/of="); n != 6 {
		t.Errorf("%d raw lines:\n%s", n, &raw)
	}
	if c.results["B/of=tls"][0].Steps == nil || c.results["B/of=sallyport"][0].Steps != nil {
		t.Error("the wrong ones' single times were kept")
	}
	if !strings.Contains(shown.String(), "A: it is broken") || c.progress.percent() != 100 {
		t.Errorf("shown: %s", &shown)
	}
}

// interrupter cancels when so many lines have been written.
type interrupter struct {
	bytes.Buffer
	after  int
	cancel context.CancelFunc
}

func (i *interrupter) Write(b []byte) (int, error) {
	if i.after--; i.after == 0 {
		i.cancel()
	}
	return i.Buffer.Write(b)
}

func TestInterruptedCampaignKeepsWhatItHas(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	raw := &interrupter{after: 5, cancel: cancel}
	cleaned := false
	groups := []bench.Group{idle("A", func(t bench.T) { t.Cleanup(func() { cleaned = true }) }, "sallyport", "tls"), idle("B", ok, "tls")}
	c := newCampaign(raw, io.Discard, groups)
	if err := c.run(ctx, groups); !errors.Is(err, errInterrupted) {
		t.Errorf("error: %v", err)
	}
	if n := strings.Count(raw.String(), "\n"); n != 5 || !cleaned {
		t.Errorf("%d raw lines, cleaned up: %v", n, cleaned)
	}
	if len(rounds([]map[int]sample{c.results["A/of=sallyport"], c.results["A/of=tls"]}, "ns/op")) != 2 {
		t.Error("two rounds are whole")
	}
}

// One that was chosen brings along what it is compared with.
func TestChoose(t *testing.T) {
	groups := []bench.Group{
		idle("G", ok, "sallyport", "tls", "tcp"), idle("H", ok, "sallyport", "tls"),
	}
	all := []goal{over("G", "tls", atMost(1), ""), over("H", "tls", atMost(1), "")}
	for pattern, want := range map[string][]string{
		"^G/of=sallyport$": {"G/of=sallyport", "G/of=tls"},
		"of=tcp":           {"G/of=tcp"},
		"H":                {"H/of=sallyport", "H/of=tls"},
	} {
		chosen, err := choose(groups, regexp.MustCompile(pattern), all)
		if got := namesOf(chosen); err != nil || !cmp.Equal(want, got) {
			t.Errorf("%s chooses %q (%v), want %q", pattern, got, err, want)
		}
	}
	if _, err := choose(groups, regexp.MustCompile("nobody"), all); err == nil {
		t.Error("nothing was chosen, and nobody said so")
	}
	if n := len(namesOf(groups)); n != 5 {
		t.Errorf("%d of 5 subjects are left in the groups that were chosen from", n)
	}
}

func TestWrongFlags(t *testing.T) {
	for _, c := range []struct {
		arguments, says string
	}{
		{"-bench [", "-bench: error parsing regexp"},
		{"-rounds -1", "-rounds: at least 0"},
		{"-block -1s", "-block: at least 0"},
		{"-rounds many", `invalid value "many"`},
		{"-timeline -bench Login", "-timeline: goes with -rounds alone"},
		{"-nonsense", "flag provided but not defined: -nonsense"},
		{"Request", `"Request" is no flag`},
	} {
		var out, said bytes.Buffer
		code := run(t.Context(), strings.Fields(c.arguments), &out, &said)
		if code != 2 || !strings.Contains(said.String(), c.says) || out.Len() > 0 {
			t.Errorf("%s: exit %d, %s", c.arguments, code, &said)
		}
	}
}

func TestHelpAndList(t *testing.T) {
	var out, said bytes.Buffer
	if code := run(t.Context(), []string{"-help"}, &out, &said); code != 0 || !strings.Contains(said.String(), "-bench 'Login'") {
		t.Errorf("exit %d: %s", code, &said)
	}
	if code := run(t.Context(), []string{"-list", "-bench", "Pipeline.*=sallyport$"}, &out, &said); code != 0 ||
		out.String() != "Pipeline/window=64/of=sallyport\nPipeline/window=64/of=tls\n" {
		t.Errorf("exit %d: %s", code, &out)
	}
	if code := run(t.Context(), []string{"-bench", "nobody", "-out", t.TempDir()}, &out, &said); code != 1 ||
		!strings.Contains(said.String(), `compare: no benchmark's name matches "nobody"`) {
		t.Errorf("exit %d: %s", code, &said)
	}
}

func TestInterruptedTimeline(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, said bytes.Buffer
	if code := run(ctx, []string{"-timeline"}, &out, &said); code != 1 || !strings.Contains(said.String(), "compare: interrupted") {
		t.Errorf("exit %d: %s", code, &said)
	}
}

func TestTimeline(t *testing.T) {
	var out, said bytes.Buffer
	code := run(t.Context(), []string{"-timeline", "-rounds", "1"}, &out, &said)
	for _, want := range []string{"\nLogin/of=tls+exchange, ", "\nLogin/keys=cached/of=sallyport, ", "server: log 3\n", "client 2: read 1\n"} {
		if code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("exit %d, no %q: %s%s", code, want, &said, &out)
		}
	}
}

// A whole run, of as little as there can be: files, table, and benchstat's format.
func TestRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "new", "out")
	var table, said bytes.Buffer
	if code := run(t.Context(), []string{"-out", out, "-bench", "size=64/", "-rounds", "2", "-block", "1ms"}, &table, &said); code != 0 {
		t.Fatalf("exit %d: %s", code, &said)
	}
	kept, err := os.ReadFile(filepath.Join(out, "report.md"))
	if err != nil || string(kept) != table.String() || !strings.Contains(table.String(), "| Request 64 B, log on, over bare TLS ") {
		t.Errorf("%v: printed\n%s", err, &table)
	}
	for _, name := range []string{"report.json", "latency-request.svg", "request-size.svg"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	raw, err := os.Open(filepath.Join(out, "raw.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	turns := 0
	for lines := benchfmt.NewReader(raw, "raw.txt"); lines.Scan(); {
		if r, ok := lines.Result().(*benchfmt.Result); ok {
			if turns++; r.GetConfig("cpu") == "" || r.GetConfig("pkg") == "" {
				t.Errorf("no cpu or pkg: %v", r)
			}
		} else {
			t.Errorf("not in the format: %v", lines.Result())
		}
	}
	if turns != 10 {
		t.Errorf("%d turns of 10 in raw.txt", turns)
	}
}
