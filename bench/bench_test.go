package bench

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func BenchmarkHandshake(b *testing.B) { run(b, handshakes()) }
func BenchmarkLogin(b *testing.B)     { run(b, logins()) }
func BenchmarkRequest(b *testing.B)   { run(b, requests()) }
func BenchmarkPipeline(b *testing.B)  { run(b, pipelines()) }
func BenchmarkHandoff(b *testing.B)   { run(b, handoffs()) }
func BenchmarkSessions(b *testing.B)  { run(b, sessions()) }
func BenchmarkLobby(b *testing.B)     { run(b, lobbies(0, 100, 1000)) }
func BenchmarkScram(b *testing.B)     { run(b, scrams()) }
func BenchmarkAudit(b *testing.B)     { run(b, audits()) }
func BenchmarkParse(b *testing.B)     { run(b, parses()) }

// run measures each subject for itself.
func run(b *testing.B, g Group) {
	for _, subject := range g.Subjects {
		b.Run(subject.Name, func(b *testing.B) {
			rig := subject.Start(b)
			if rig.Before != nil {
				if err := rig.Before(); err != nil {
					b.Fatal(err)
				}
				rig.Before = nil // it is not what the time is for
			}
			b.ReportAllocs()
			b.SetBytes(subject.Bytes)
			b.ResetTimer()
			s, err := rig.turn(max(1, b.N/rig.ops()))
			b.StopTimer()
			if err != nil {
				b.Fatal(err)
			}
			s.addRate(subject.Bytes)
			for _, unit := range slices.Sorted(maps.Keys(s.Metrics)) {
				b.ReportMetric(s.Metrics[unit], unit)
			}
		})
	}
}

// All groups are measured, and each at most once.
func TestGroups(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range Groups() {
		for _, s := range g.Subjects {
			if name := g.Name + "/" + s.Name; seen[name] {
				t.Errorf("%s is there twice", name)
			} else {
				seen[name] = true
			}
		}
	}
}

// Each subject works, though nobody looks at how fast.
func TestSubjects(t *testing.T) {
	for _, g := range Groups() {
		if g.Name == "Lobby" {
			if runtime.GOOS != "linux" {
				continue // others have no 127.1.0.1
			}
			g = lobbies(0, 2*strangersPerSource)
		}
		for _, subject := range g.Subjects {
			t.Run(g.Name+"/"+subject.Name, func(t *testing.T) { works(t, subject) })
		}
	}
}

// works has a subject take two turns.
func works(t *testing.T, subject Subject) {
	rig, goroutines := subject.Start(t), runtime.NumGoroutine()
	for range 2 {
		steps := 1
		if rig.Ops == 0 {
			steps = 2
		}
		s, err := rig.turn(steps)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Steps) != steps || s.Steps[0] <= 0 || s.Metrics["ns/op"] <= 0 {
			t.Errorf("took %v, and has %v", s.Steps, s.Metrics)
		}
		if err := settle(goroutines); err != nil {
			t.Error("goroutines leak")
		}
	}
}

func TestTimelines(t *testing.T) {
	all, err := Timelines(t.Context(), t, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		moments := l.Moments()
		var names []string
		for _, m := range moments {
			names = append(names, m.What)
		}
		if len(moments) < 5 || moments[0].At <= 0 || l.Steps != timelineBlock {
			t.Errorf("%s: %d steps, %v", l.Name, l.Steps, moments)
		}
		// Control: the floor keeps no log.
		if logs := slices.Contains(names, "server: log 1"); logs == strings.HasSuffix(l.Name, "of=tls+exchange") {
			t.Errorf("%s: %q", l.Name, names)
		}
	}
}
