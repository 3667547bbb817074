package bench

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, test := range []struct {
		sorted []time.Duration
		p      int
		want   time.Duration
	}{
		{nil, 50, 0},
		{[]time.Duration{7}, 0, 7},
		{[]time.Duration{7}, 99, 7},
		{[]time.Duration{1, 2}, 50, 1},
		{[]time.Duration{1, 2}, 51, 2},
		{[]time.Duration{1, 2, 3}, 50, 2},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 100, 100},
		{hundred[:99], 99, 99},
	} {
		if got := Percentile(test.sorted, test.p); got != test.want {
			t.Errorf("p%d of %d is %d, want %d", test.p, len(test.sorted), got, test.want)
		}
	}
}

// Times are of one operation, though a step has several.
func TestAccount(t *testing.T) {
	s := Sample{Ops: 8, Steps: []time.Duration{40, 10, 20, 30}}
	s.account()
	want := map[string]float64{"ns/op": 100.0 / 8, "p50-ns/op": 10, "p90-ns/op": 20, "p99-ns/op": 20}
	if diff := cmp.Diff(want, s.Metrics); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]time.Duration{10, 20, 30, 40}, s.Steps); diff != "" {
		t.Error(diff)
	}
}

// A turn is Before, the steps, After, and what the rig has to say itself.
func TestTurn(t *testing.T) {
	var order string
	note := func(what string) func() error {
		return func() error { order += what; return nil }
	}
	rig := Rig{
		Ops: 2, Before: note("b"), After: note("a"),
		Step:    func() (time.Duration, error) { return 10, note("s")() },
		Metrics: func(ops int) map[string]float64 { return map[string]float64{"ops": float64(ops)} },
	}
	s, err := rig.turn(3)
	if err != nil || order != "bsssa" || s.Ops != 6 || s.Metrics["ns/op"] != 5 || s.Metrics["ops"] != 6 {
		t.Error(order, s, err)
	}
}

// Every round has every subject once, each step timed.
func TestInterleave(t *testing.T) {
	subject := func(name string, step time.Duration) Subject {
		return Subject{Name: name, Start: func(T) *Rig {
			return &Rig{Step: func() (time.Duration, error) {
				time.Sleep(step)
				return step, nil
			}}
		}}
	}
	g := Group{
		Name: "G", Rounds: 3, Block: 4 * time.Millisecond,
		Subjects: []Subject{subject("of=a", time.Microsecond), subject("of=b", time.Millisecond)},
	}
	turns := map[string]int{}
	err := Interleave(t, g, func(round int, s Sample) error {
		if len(s.Steps) == 0 || turns[s.Name] != round {
			t.Error(round, s)
		}
		turns[s.Name]++
		return nil
	})
	if want := (map[string]int{"G/of=a": 3, "G/of=b": 3}); err != nil || !maps.Equal(turns, want) {
		t.Error(turns, err)
	}
}
