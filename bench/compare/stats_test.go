package main

import (
	"math"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	var values []float64
	for i := range 99 {
		values = append(values, float64((i*37)%99+1)) // 1 to 99, in no order
	}
	if m := median(values); m.mid != 50 || m.low != 40 || m.high != 60 {
		t.Errorf("median of 1 to 99: %v", m)
	}
	if values[0] != 1 || values[1] != 38 {
		t.Error("the values were sorted in their place")
	}
	if m := median(values[:5]); !math.IsInf(m.low, -1) && !math.IsInf(m.high, 1) {
		t.Errorf("five values say too much: %v", m)
	}
}

// The ratio is that of the rounds, however fast the machine was in each; that of
// two medians would not be.
func TestRatioIsPaired(t *testing.T) {
	r := results{}
	for round := range 20 {
		drift := float64(1 + round)
		r.add(round, sample{Name: "G/of=sallyport", Metrics: map[string]float64{"ns/op": 105 * drift}})
		if round < 12 { // an interrupted run, where the floor was slow
			r.add(round, sample{Name: "G/of=tls", Metrics: map[string]float64{"ns/op": 100 * drift}})
		}
	}
	row := rows([]goal{over("G", "tls", atMost(1.05), "")}, r)[0]
	if want := (estimate{1.05, 1.05, 1.05}); row.ratio != want || !row.met() {
		t.Errorf("ratio %v, met %v", row.ratio, row.met())
	}
}

func TestPercentiles(t *testing.T) {
	var ours, floor [][]time.Duration
	for range 20 {
		var a, b []time.Duration
		for i := range 100 {
			a, b = append(a, time.Duration(2*(i+1))), append(b, time.Duration(i+1))
		}
		ours, floor = append(ours, a), append(floor, b)
	}
	if a, b, ratio := percentiles(ours, floor, 99); a != 198 || b != 99 || ratio != (estimate{2, 2, 2}) {
		t.Errorf("%v over %v: %v", a, b, ratio)
	}
	floor[3] = floor[3][:1] // one odd round widens the interval
	ours[4][99], ours[4][98], ours[4][97] = 400, 400, 400
	_, _, ratio := percentiles(ours, floor, 99)
	if ratio.low > ratio.mid || ratio.high < ratio.mid || ratio.high <= ratio.low {
		t.Errorf("interval %v", ratio)
	}
	if _, _, ratio := percentiles(ours[:2], floor[:2], 99); !math.IsInf(ratio.high, 1) {
		t.Errorf("two rounds say too much: %v", ratio)
	}
}
