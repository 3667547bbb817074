package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"github.com/sallyport/sallyport/bench"
)

// lines are the lines of a plot by name.
type lines map[string]plotter.XYs

func (l lines) add(name string, x, y float64) { l[name] = append(l[name], plotter.XY{X: x, Y: y}) }

// draw draws what was measured.
func draw(folder string, measured results) error {
	request, login, size := lines{}, lines{}, lines{}
	for name, samples := range measured {
		at := func(p int) float64 { return medianOf(samples, fmt.Sprintf("p%d-ns/op", p)) / 1e3 }
		for _, p := range bench.Percentiles {
			if of, ok := strings.CutPrefix(name, "Request/size=64/of="); ok {
				request.add(of, float64(p), at(p))
			}
			if of, ok := strings.CutPrefix(name, "Login/"); ok {
				login.add(of, float64(p), at(p))
			}
		}
		var bytes float64
		var of string
		if n, _ := fmt.Sscanf(name, "Request/size=%g/of=%s", &bytes, &of); n == 2 {
			size.add(of, bytes, at(50))
		}
	}
	return errors.Join(
		request.save(filepath.Join(folder, "latency-request.svg"), "A request of 64 bytes", "percentile", false),
		login.save(filepath.Join(folder, "latency-login.svg"), "A login", "percentile", false),
		size.save(filepath.Join(folder, "request-size.svg"), "A request", "bytes of its body", true))
}

// save removes the plot of an earlier run if there is nothing to draw.
func (l lines) save(file, title, x string, logarithmic bool) error {
	if len(l) == 0 {
		return os.RemoveAll(file)
	}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, "median, µs"
	if logarithmic {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	var all []any
	for _, name := range slices.Sorted(maps.Keys(l)) {
		slices.SortFunc(l[name], func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
		all = append(all, name, l[name])
	}
	if err := plotutil.AddLinePoints(p, all...); err != nil {
		return err
	}
	p.Y.Max *= 4 // room for the legend
	return p.Save(8*vg.Inch, 5*vg.Inch, file)
}
