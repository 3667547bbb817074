package bench

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// A Sample is what one turn of a subject came to.
type Sample struct {
	Name    string // the benchmark's, as package testing has it
	Ops     int
	Metrics map[string]float64 // by unit: ns/op, p50-ns/op, allocs/op, ...
	Steps   []time.Duration    // of one operation, sorted
	took    time.Duration      // all steps, with what is not timed in them
}

// WriteTo writes the sample in the format of Go's benchmarks.
func (s *Sample) WriteTo(w io.Writer) (int64, error) {
	line := fmt.Sprintf("Benchmark%s-%d\t%d", s.Name, runtime.GOMAXPROCS(0), s.Ops)
	for _, unit := range slices.SortedFunc(maps.Keys(s.Metrics), timeFirst) {
		line += fmt.Sprintf("\t%.6g %s", s.Metrics[unit], unit)
	}
	n, err := fmt.Fprintln(w, line)
	return int64(n), err
}

func timeFirst(a, b string) int {
	if (a == "ns/op") != (b == "ns/op") {
		return cmp.Compare(b, a) // it is the greater of any two that there are
	}
	return cmp.Compare(a, b)
}

// turn runs a rig for so many steps.
func (r *Rig) turn(steps int) (s Sample, err error) {
	if r.Before != nil {
		if err := r.Before(); err != nil {
			return s, err
		}
	}
	s.Ops, s.Steps = steps*r.ops(), make([]time.Duration, 0, steps)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	for range steps {
		took, err := r.Step()
		if err != nil {
			return s, err
		}
		s.Steps = append(s.Steps, took)
	}
	s.took = time.Since(start)
	runtime.ReadMemStats(&after)
	s.account()
	s.Metrics["allocs/op"] = float64(after.Mallocs-before.Mallocs) / float64(s.Ops)
	s.Metrics["B/op"] = float64(after.TotalAlloc-before.TotalAlloc) / float64(s.Ops)
	if r.Metrics != nil {
		maps.Copy(s.Metrics, r.Metrics(s.Ops))
	}
	if r.After != nil {
		err = r.After()
	}
	return s, err
}

// account makes figures of the steps' times.
func (s *Sample) account() {
	var sum time.Duration
	for _, took := range s.Steps {
		sum += took
	}
	slices.Sort(s.Steps)
	each := float64(s.Ops) / float64(len(s.Steps))
	s.Metrics = map[string]float64{"ns/op": float64(sum) / float64(s.Ops)}
	for _, p := range []int{50, 90, 99} {
		s.Metrics[fmt.Sprintf("p%d-ns/op", p)] = float64(Percentile(s.Steps, p)) / each
	}
}

// Percentile is the nearest-rank percentile of sorted durations.
func Percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// Interleave runs the subjects of a group in turns, and calls each with what a
// turn came to. The order is shuffled for every round: what always followed the
// same neighbour would be flattered or hurt by it. It ends at the first error,
// each's included.
func Interleave(t T, g Group, each func(round int, s Sample) error) error {
	rigs, steps := make([]*Rig, len(g.Subjects)), make([]int, len(g.Subjects))
	for i, subject := range g.Subjects {
		rigs[i] = subject.Start(t)
		n, err := rigs[i].calibrate(cmp.Or(g.Block, 20*time.Millisecond))
		if err != nil {
			return fmt.Errorf("%s/%s: %w", g.Name, subject.Name, err)
		}
		steps[i] = n
	}
	for round := range cmp.Or(g.Rounds, 100) {
		for _, i := range rand.Perm(len(rigs)) {
			runtime.GC() // nobody pays for what the one before left
			s, err := rigs[i].turn(steps[i])
			s.Name = g.Name + "/" + g.Subjects[i].Name
			if err == nil {
				s.addRate(g.Subjects[i].Bytes)
				err = each(round, s)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
		}
	}
	return nil
}

func (s *Sample) addRate(octets int64) {
	if octets > 0 {
		s.Metrics["MB/s"] = float64(octets) / s.Metrics["ns/op"] * 1e3
	}
}

// calibrate warms a rig up, and finds how many steps fill a block, whatever comes
// before and after them.
func (r *Rig) calibrate(block time.Duration) (steps int, err error) {
	steps = 5
	s, err := r.turn(steps)
	for err == nil && s.took < block/2 {
		steps *= 2
		s, err = r.turn(steps)
	}
	if err != nil {
		return 0, err
	}
	return max(1, int(float64(block)*float64(steps)/float64(s.took))), nil
}
