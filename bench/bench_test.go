package bench

import (
	"maps"
	"slices"
	"testing"
)

func BenchmarkRequest(b *testing.B)  { run(b, requests()) }
func BenchmarkPipeline(b *testing.B) { run(b, pipelines()) }

// run measures each subject for itself.
func run(b *testing.B, g Group) {
	for _, subject := range g.Subjects {
		b.Run(subject.Name, func(b *testing.B) {
			rig := subject.Start(b)
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
