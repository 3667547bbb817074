// Package bench measures Sallyport beside its floors: what bare TCP or bare crypto/tls costs for the
// same bytes, with the same certificates, socket options and buffers. One thing that is measured is a
// [Subject]. A [Group] holds subjects that are compared with each other; [Groups] lists all groups.
//
// "go test -bench . ./bench" runs each subject by itself, for profiles. [Interleave] runs the subjects of a
// group in turns, in an order that is shuffled for every round, so that a machine whose speed drifts slows all
// of them down. The command in bench/compare does that, with the peers, and reports the ratios.
package bench

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// T is what a subject needs of its runner. A *testing.B is one.
type T interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// A Group is a set of subjects that are compared with each other.
type Group struct {
	// Name is the benchmark's, without "Benchmark".
	Name     string
	Subjects []Subject
	Rounds   int
	// Block is how long the turn of one subject lasts in each round.
	Block time.Duration
}

// A Subject is one thing that is measured.
type Subject struct {
	// Name is key=value, or several of them joined with "/". The value of "of" says which of the
	// compared things it is: the product, a floor or a peer.
	Name string
	// Bytes is what one operation moves above TLS, both ways. Zero means that it doesn't matter.
	Bytes int64
	// Start sets the subject up. The Cleanup of t takes it down.
	Start func(t T) *Rig
}

// A Rig is a subject that is set up.
type Rig struct {
	// Step does the operations and returns how long they took, without what comes before and after.
	Step func() (time.Duration, error)
	// Ops is the number of operations in one step. Zero means 1.
	Ops int
	// Before and After run before and after each turn. Nil means nothing.
	Before, After func() error
	// Metrics are added to those of each turn.
	Metrics map[string]float64
}

// Groups returns all that is measured of the product.
func Groups() []Group {
	return []Group{handshakes(), logins(), requests(), pipelines(), handoffs(), streams(), sessions(), lobbies(0, 100, 1000)}
}

// A Sample is the result of one turn of a subject.
type Sample struct {
	// Name is GROUP/SUBJECT.
	Name string
	Ops  int
	// Metrics are by unit: ns/op, p50-ns/op, allocs/op and others.
	Metrics map[string]float64
	// wall is how long all steps took, with what they don't time.
	wall time.Duration
}

// String is the sample in Go's benchmark format.
func (s Sample) String() string {
	line := fmt.Sprintf("Benchmark%s-%d\t%d", s.Name, runtime.GOMAXPROCS(0), s.Ops)
	for _, unit := range slices.Sorted(maps.Keys(s.Metrics)) {
		line += fmt.Sprintf("\t%.6g %s", s.Metrics[unit], unit)
	}
	return line
}

// Interleave runs the subjects of a group in turns and calls each with the result of every turn. The
// order is shuffled: a subject that always follows the same neighbour would gain or lose by it. It ends
// at the first error.
func Interleave(t T, g Group, each func(round int, s Sample) error) error {
	rigs, steps := make([]*Rig, len(g.Subjects)), make([]int, len(g.Subjects))
	for i, subject := range g.Subjects {
		rigs[i] = subject.Start(t)
		n, err := rigs[i].calibrate(g.Block)
		if err != nil {
			return fmt.Errorf("%s: %w", subject.Name, err)
		}
		steps[i] = n
	}
	for round := range g.Rounds {
		for _, i := range rand.Perm(len(rigs)) {
			runtime.GC() // no subject pays for the garbage of the one before
			s, err := rigs[i].turn(g.Name, g.Subjects[i], steps[i])
			if err == nil {
				err = each(round, s)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", g.Subjects[i].Name, err)
			}
		}
	}
	return nil
}

// calibrate warms a rig up and finds how many steps fill a block.
func (r *Rig) calibrate(block time.Duration) (steps int, err error) {
	steps = 5
	s, err := r.turn("", Subject{}, steps)
	for err == nil && s.wall < block/2 {
		steps *= 2
		s, err = r.turn("", Subject{}, steps)
	}
	return max(1, int(float64(block)*float64(steps)/float64(max(s.wall, 1)))), err
}

// turn runs a rig for so many steps.
func (r *Rig) turn(group string, subject Subject, steps int) (s Sample, err error) {
	if r.Before != nil {
		if err := r.Before(); err != nil {
			return s, err
		}
	}
	times := make([]time.Duration, steps)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	for i := range times {
		if times[i], err = r.Step(); err != nil {
			return s, err
		}
	}
	s.wall = time.Since(start)
	runtime.ReadMemStats(&after)
	ops := max(1, r.Ops)
	s.Name, s.Ops, s.Metrics = group+"/"+subject.Name, steps*ops, timings(times, ops)
	s.Metrics["allocs/op"] = float64(after.Mallocs-before.Mallocs) / float64(s.Ops)
	s.Metrics["B/op"] = float64(after.TotalAlloc-before.TotalAlloc) / float64(s.Ops)
	if subject.Bytes > 0 {
		s.Metrics["MB/s"] = float64(subject.Bytes) / s.Metrics["ns/op"] * 1e3
	}
	maps.Copy(s.Metrics, r.Metrics)
	if r.After != nil {
		err = r.After()
	}
	return s, err
}

// Percentiles are those that each sample has, as "p50-ns/op".
var Percentiles = []int{10, 25, 50, 75, 90, 99}

// timings returns the mean and the percentiles of steps of so many operations, for one operation.
func timings(steps []time.Duration, ops int) map[string]float64 {
	var sum time.Duration
	for _, took := range steps {
		sum += took
	}
	slices.Sort(steps)
	metrics := map[string]float64{"ns/op": float64(sum) / float64(len(steps)*ops)}
	for _, p := range Percentiles {
		rank := (len(steps)*p + 99) / 100 // the nearest rank, from 1
		metrics[fmt.Sprintf("p%d-ns/op", p)] = float64(steps[rank-1]) / float64(ops)
	}
	return metrics
}

// Timed is a rig whose step does all of its operations at once.
func Timed(ops int, operations func() error) *Rig {
	return &Rig{Ops: ops, Step: func() (time.Duration, error) {
		start := time.Now()
		err := operations()
		return time.Since(start), err
	}}
}

// Connections is a rig that opens one connection after another. Only the opening is timed. It waits for
// the closing, and for the goroutines that served the connection, so that the next one pays for nothing
// of the last one.
func Connections(open func() (leave func() error, err error)) *Rig {
	return &Rig{Step: func() (time.Duration, error) {
		goroutines, start := runtime.NumGoroutine(), time.Now()
		leave, err := open()
		took := time.Since(start)
		if err == nil {
			err = leave()
		}
		if err != nil {
			return 0, err
		}
		return took, settle(goroutines)
	}}
}

// settle waits until no more than so many goroutines are left.
func settle(goroutines int) error {
	for start := time.Now(); runtime.NumGoroutine() > goroutines; {
		switch took := time.Since(start); {
		case took > Patience:
			return fmt.Errorf("bench: a server is still at work %v after its client has left", Patience)
		case took > time.Millisecond:
			time.Sleep(100 * time.Microsecond)
		default:
			runtime.Gosched()
		}
	}
	return nil
}

// Check ends the setting up of a subject if there is an error.
func Check(t T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("bench: %v", err)
	}
}
