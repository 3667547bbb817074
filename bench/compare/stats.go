package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/perf/benchmath"

	"github.com/sallyport/sallyport/bench"
)

const confidence = 0.95

// An estimate is a figure and the interval in which, at that confidence, the
// true one lies. The interval of too few rounds is infinite.
type estimate struct{ mid, low, high float64 }

// median assumes nothing of how the values are distributed.
func median(values []float64) estimate {
	s := benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
	summary := benchmath.AssumeNothing.Summary(s, confidence)
	return estimate{summary.Center, summary.Lo, summary.Hi}
}

// percentiles compares a percentile of all times of both. A round has too few of
// them for its own, so the interval is found by drawing, again and again, as
// many rounds from those that there are (a bootstrap): times of one round depend
// on each other, rounds don't.
func percentiles(ours, floor [][]time.Duration, p int) (a, b float64, ratio estimate) {
	a, b = pooled(ours, p), pooled(floor, p)
	n := min(len(ours), len(floor))
	const draws = 1000
	random, ratios := rand.New(rand.NewPCG(1, 2)), make([]float64, draws)
	for i := range ratios {
		var x, y [][]time.Duration
		for range n {
			round := random.IntN(n)
			x, y = append(x, ours[round]), append(y, floor[round])
		}
		ratios[i] = pooled(x, p) / pooled(y, p)
	}
	slices.Sort(ratios)
	ratio = estimate{a / b, math.Inf(-1), math.Inf(1)}
	if n > 5 { // as few as a median needs for its interval
		ratio.low, ratio.high = ratios[draws*25/1000], ratios[draws*975/1000-1]
	}
	return a, b, ratio
}

func pooled(rounds [][]time.Duration, p int) float64 {
	all := slices.Concat(rounds...)
	slices.Sort(all)
	return float64(bench.Percentile(all, p))
}
