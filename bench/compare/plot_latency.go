package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// A distribution shows which part of all took at most how long.
type distribution struct {
	title  string
	axis   string
	unit   time.Duration
	curves []curve
}

var requestLatency = distribution{
	"Round trip of a request of 64 B on an open session", "time (µs, logarithmic)", time.Microsecond,
	[]curve{
		{"Request/size=64/of=sallyport", "Sallyport", blue, nil},
		{"Request/size=64/of=sallyport-nulllog", "Sallyport, null log", sky, nil},
		{"Request/size=64/of=tls+write", "floor: TLS echo + write(2)", orange, dashed},
		{"Request/size=64/of=tls", "floor: TLS echo", red, dashed},
		{"Request/size=64/of=tcp", "floor: TCP echo", grey, dotted},
	},
}

var loginLatency = distribution{
	"Login: connect, TLS, SCRAM-SHA-256-PLUS, first reply", "time (ms, logarithmic)", time.Millisecond,
	[]curve{
		{"Login/keys=cached/iterations=4096/of=sallyport", "Sallyport, cached keys", sky, nil},
		{"Login/keys=derived/iterations=4096/of=sallyport", "Sallyport, keys derived (4,096)", blue, nil},
		{"Login/[keys=cached]/[iterations=4096]/of=tls", "floor: TLS handshake + 1 octet", red, dashed},
	},
}

// singly tells of which names the single times are needed.
func singly(names []string) func(name string) bool {
	var needed []string
	need := func(s selector) {
		if name, ok := s.find(names); ok {
			needed = append(needed, name)
		}
	}
	for _, c := range slices.Concat(requestLatency.curves, loginLatency.curves) {
		need(c.of)
	}
	for _, g := range goals() {
		for _, s := range g.of {
			if g.p != 0 {
				need(s)
			}
		}
	}
	return func(name string) bool { return slices.Contains(needed, name) }
}

func (d distribution) draw(r results) (*picture, error) {
	p := newPlot(d.title, d.axis, "took at most that long (%)")
	for _, c := range d.curves {
		found, ok := r.find([]selector{c.of})
		if !ok {
			continue
		}
		if err := c.add(p, d.points(slices.Concat(steps(found[0])...)), false); err != nil {
			return nil, err
		}
	}
	if p.X.Min > p.X.Max { // nothing was added
		return nil, nil
	}
	p.X.Tick.Marker = plot.TickerFunc(logTicks)
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = p.X.Min-0.02, p.X.Max+0.02, 0, 100
	return p, nil
}

// points go from the fastest to the 99th percentile: the rest says more of the
// machine, and would press all else together.
func (d distribution) points(times []time.Duration) (points plotter.XYs) {
	slices.Sort(times)
	for permille := 0; permille <= 990; permille += 5 {
		took := times[(len(times)-1)*permille/1000]
		points = append(points, plotter.XY{X: math.Log10(float64(took) / float64(d.unit)), Y: float64(permille) / 10})
	}
	return points
}

// logTicks are for an axis of decimal logarithms, which is what is drawn where
// an axis is logarithmic: package plot's own scale leaves too much room around
// such an axis. They are 1, 2, 5, 10, ..., and those between them, labelled if
// there is room.
func logTicks(low, high float64) (ticks []plot.Tick) {
	narrow := high-low < 0.9
	for exponent := math.Floor(low); exponent <= high; exponent++ {
		for i := 1.0; i < 10; i++ {
			tick := plot.Tick{Value: exponent + math.Log10(i)}
			if tick.Value < low || tick.Value > high {
				continue
			}
			if narrow || i == 1 || i == 2 || i == 5 {
				tick.Label = fmt.Sprintf("%.6g", math.Pow(10, tick.Value))
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}
