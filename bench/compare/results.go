package main

import (
	"maps"
	"slices"
	"time"

	"github.com/sallyport/sallyport/bench"
)

type sample = bench.Sample

// results are all samples, by name and by round: what is compared was measured
// in the same round.
type results map[string]map[int]sample

func (r results) add(round int, s sample) {
	if r[s.Name] == nil {
		r[s.Name] = map[int]sample{}
	}
	r[s.Name][round] = s
}

func (r results) names() []string { return slices.Sorted(maps.Keys(r)) }

// find returns the samples of what each selector selects, if all are there.
func (r results) find(of []selector) (found []map[int]sample, ok bool) {
	names := r.names()
	for _, s := range of {
		name, ok := s.find(names)
		if !ok {
			return nil, false
		}
		found = append(found, r[name])
	}
	return found, true
}

// rounds returns what each of them came to in each round that all of them have,
// as the metric has it.
func rounds(of []map[int]sample, metric string) (values [][]float64) {
	for _, round := range slices.Sorted(maps.Keys(of[0])) {
		row := make([]float64, 0, len(of))
		for _, samples := range of {
			if value, ok := samples[round].Metrics[metric]; ok {
				row = append(row, value)
			}
		}
		if len(row) == len(of) {
			values = append(values, row)
		}
	}
	return values
}

// steps returns the single times by round, in the order of the rounds.
func steps(samples map[int]sample) (times [][]time.Duration) {
	for _, round := range slices.Sorted(maps.Keys(samples)) {
		times = append(times, samples[round].Steps)
	}
	return times
}

func column(values [][]float64, i int) []float64 {
	picked := make([]float64, len(values))
	for j, row := range values {
		picked[j] = row[i]
	}
	return picked
}
