package main

// A row is what came of a goal.
type row struct {
	goal
	ours, base             float64 // medians of both sides
	oursNS, baseNS         float64 // of a time, where the sides are none
	oursAllocs, baseAllocs float64
	ratio                  estimate
}

func (r row) judged() bool { return r.limit.bound != 0 }
func (r row) met() bool    { return r.limit.met(r.ratio.mid) }

// rows are the goals whose subjects were run.
func rows(all []goal, r results) (made []row) {
	for _, g := range all {
		if of, ok := r.find(g.of); ok {
			if row, ok := g.judge(of); ok {
				made = append(made, row)
			}
		}
	}
	return made
}

// judge compares what was measured in the same round, round by round.
func (g goal) judge(of []map[int]sample) (r row, ok bool) {
	values := rounds(of, g.metricOf())
	if len(values) == 0 {
		return r, false
	}
	r = row{goal: g}
	var ours, base, ratios []float64
	for _, v := range values {
		a, b := g.sides(v)
		ours, base, ratios = append(ours, a), append(base, b), append(ratios, g.ratio(a, b))
	}
	r.ours, r.base, r.ratio = median(ours).mid, median(base).mid, median(ratios)
	if g.p != 0 {
		r.ours, r.base, r.ratio = percentiles(steps(of[0]), steps(of[g.floor]), g.p)
	}
	r.oursNS, r.baseNS = medianOf(of, 0, "ns/op"), medianOf(of, g.floor, "ns/op")
	r.oursAllocs, r.baseAllocs = medianOf(of, 0, "allocs/op"), medianOf(of, g.floor, "allocs/op")
	return r, true
}

// medianOf is of one of them, in the rounds that all have.
func medianOf(of []map[int]sample, i int, metric string) float64 {
	return median(column(rounds(of, metric), i)).mid
}
