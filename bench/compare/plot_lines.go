package main

import (
	"fmt"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// A bar is the interval of a point.
type bar struct {
	plotter.XYs
	plotter.YErrors
}

// bySize shows what a request costs as it grows.
func bySize(r results) (*picture, error) {
	p := newPlot("Round trip of a request, by the size of its body (95 % intervals)",
		"body, and as much in the reply (bytes, logarithmic)", "median time (µs, logarithmic)")
	var xs []string
	for _, s := range sizes {
		xs = append(xs, s.octets)
	}
	drawn := false
	for _, c := range requestLatency.curves {
		of := valueOf(string(c.of), "of")
		added, err := c.through(p, r, xs, "Request/size=%s/of="+of, math.Log10)
		if err != nil {
			return nil, err
		}
		drawn = drawn || added
	}
	if !drawn {
		return nil, nil
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = labelled(xs, math.Log10), plot.TickerFunc(logTicks)
	p.X.Min, p.X.Max = p.X.Min-0.1, p.X.Max+0.1
	return p, nil
}

// byQueue shows whether those who wait slow the next one down.
func byQueue(r results) (*picture, error) {
	p := newPlot("Handoff: from the holder's close to the next one's 235 (95 % intervals)", "clients in the queue", "median time (µs)")
	xs := []string{"1", "4", "15"}
	linear := func(v float64) float64 { return v }
	product := curve{called: "Sallyport", colour: blue}
	drawn, err := product.through(p, r, xs, "Handoff/waiting=%s/of=sallyport", linear)
	if !drawn || err != nil {
		return nil, err
	}
	floor := curve{called: "floor: a round trip\nafter 1 ms of idleness", colour: red, dashes: dashed}
	if _, err := floor.through(p, r, xs, "Handoff/[waiting=%s]/of=idle-roundtrip", linear); err != nil {
		return nil, err
	}
	p.X.Tick.Marker = labelled(xs, linear)
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 16, 0, p.Y.Max*1.1
	return p, nil
}

// through draws the medians of what a pattern selects for each x, in µs, on
// axes of that scale.
func (c curve) through(p *picture, r results, xs []string, pattern string, scale func(float64) float64) (drawn bool, err error) {
	var points bar
	for _, x := range xs {
		found, ok := r.find([]selector{selector(fmt.Sprintf(pattern, x))})
		if !ok {
			continue
		}
		m := median(column(rounds(found, "ns/op"), 0)).scaled(func(ns float64) float64 { return scale(ns / 1e3) })
		points.XYs = append(points.XYs, plotter.XY{X: scale(number(x)), Y: m.mid})
		points.YErrors = append(points.YErrors, struct{ Low, High float64 }{m.mid - m.low, m.high - m.mid})
	}
	if len(points.XYs) == 0 {
		return false, nil
	}
	bars, err := plotter.NewYErrorBars(points)
	if err != nil {
		return false, err
	}
	bars.Color = c.colour
	p.Add(bars)
	return true, c.add(p, points.XYs, true)
}

// scaled is for a plot: the interval is none if it is unknown.
func (e estimate) scaled(scale func(float64) float64) estimate {
	if math.IsInf(e.low, 0) || math.IsInf(e.high, 0) {
		e.low, e.high = e.mid, e.mid
	}
	return estimate{scale(e.mid), scale(e.low), scale(e.high)}
}

// labelled are ticks at those values alone.
func labelled(values []string, scale func(float64) float64) plot.ConstantTicks {
	var ticks []plot.Tick
	for _, v := range values {
		ticks = append(ticks, plot.Tick{Value: scale(number(v)), Label: v})
	}
	return ticks
}

func number(s string) float64 {
	f, _ := strconv.ParseFloat(s, 64)
	return f
}
