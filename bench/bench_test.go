package bench

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func BenchmarkHandshake(b *testing.B) { run(b, handshakes()) }
func BenchmarkLogin(b *testing.B)     { run(b, logins()) }
func BenchmarkRequest(b *testing.B)   { run(b, requests()) }
func BenchmarkPipeline(b *testing.B)  { run(b, pipelines()) }
func BenchmarkHandoff(b *testing.B)   { run(b, handoffs()) }
func BenchmarkStream(b *testing.B)    { run(b, streams()) }
func BenchmarkSessions(b *testing.B)  { run(b, sessions()) }
func BenchmarkLobby(b *testing.B)     { run(b, lobbies(0, 100, 1000)) }

// run measures each subject by itself.
func run(b *testing.B, g Group) {
	for _, subject := range g.Subjects {
		b.Run(subject.Name, func(b *testing.B) {
			rig := subject.Start(b)
			b.ReportAllocs()
			b.ResetTimer()
			s, err := rig.turn(g.Name, subject, max(1, b.N/max(1, rig.Ops)))
			if err != nil {
				b.Fatal(err)
			}
			for _, unit := range slices.Sorted(maps.Keys(s.Metrics)) {
				b.ReportMetric(s.Metrics[unit], unit)
			}
		})
	}
}

// Each subject works, has a name of its own, and leaves no goroutine behind.
func TestSubjects(t *testing.T) {
	groups, seen := Groups(), map[string]bool{}
	groups[len(groups)-1] = lobbies(0, 2*strangersPerSource)
	for _, g := range groups {
		if g.Name == "Lobby" && runtime.GOOS != "linux" {
			continue // others have no 127.1.0.1
		}
		for _, subject := range g.Subjects {
			name := g.Name + "/" + subject.Name
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
			t.Run(name, func(t *testing.T) {
				rig, goroutines := subject.Start(t), runtime.NumGoroutine()
				for range 2 {
					s, err := rig.turn(g.Name, subject, 2)
					if err != nil || s.Name != name || s.Ops != 2*max(1, rig.Ops) || s.Metrics["ns/op"] <= 0 {
						t.Fatalf("%+v, %v", s, err)
					}
					if err := settle(goroutines); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// Times are of one operation, although a step has several.
func TestTimings(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(200 - 2*i) // 2 to 200, falling
	}
	for _, c := range []struct {
		steps []time.Duration
		want  map[string]float64
	}{
		{hundred, map[string]float64{
			"ns/op": 50.5, "p10-ns/op": 10, "p25-ns/op": 25, "p50-ns/op": 50, "p75-ns/op": 75, "p90-ns/op": 90, "p99-ns/op": 99,
		}},
		{[]time.Duration{40, 10, 20}, map[string]float64{
			"ns/op": 35. / 3, "p10-ns/op": 5, "p25-ns/op": 5, "p50-ns/op": 10, "p75-ns/op": 20, "p90-ns/op": 20, "p99-ns/op": 20,
		}},
	} {
		if diff := cmp.Diff(c.want, timings(c.steps, 2)); diff != "" {
			t.Errorf("%d steps: %s", len(c.steps), diff)
		}
	}
}

// Every round has a turn of every subject: Before, the steps, and After.
func TestInterleave(t *testing.T) {
	var order string
	note := func(what string) func() error {
		return func() error { order += what; return nil }
	}
	start := func(T) *Rig {
		return &Rig{
			Ops: 2, Before: note("b"), After: note("a"), Metrics: map[string]float64{"own": 7},
			Step: func() (time.Duration, error) { return 10, note("s")() },
		}
	}
	g := Group{Name: "G", Rounds: 3, Subjects: []Subject{{"of=x", 10, start}, {"of=y", 0, start}}}
	turns := map[string]int{}
	err := Interleave(t, g, func(round int, s Sample) error {
		if turns[s.Name] != round || s.Ops != 2 || s.Metrics["ns/op"] != 5 || s.Metrics["own"] != 7 || (s.Metrics["MB/s"] == 2000) != (s.Name == "G/of=x") {
			t.Error(round, s)
		}
		turns[s.Name]++
		return nil
	})
	want := strings.Repeat("bsssssa", 2) + strings.Repeat("bsa", 6) // a warm-up has five steps
	if err != nil || order != want || !maps.Equal(turns, map[string]int{"G/of=x": 3, "G/of=y": 3}) {
		t.Error(turns, order, err)
	}
}
