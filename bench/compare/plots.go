package main

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"io/fs"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A curve is a series of a plot: whose, what it is called, how it looks.
type curve struct {
	of     selector
	called string
	colour color.RGBA
	dashes []vg.Length
}

// Colours that those tell apart who see fewer of them (Okabe and Ito's).
var (
	blue   = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	sky    = color.RGBA{0x56, 0xb4, 0xe9, 0xff}
	orange = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	red    = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	green  = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	grey   = color.RGBA{0x77, 0x77, 0x77, 0xff}
	pale   = color.RGBA{0xcc, 0xcc, 0xcc, 0xff}
	dashed = []vg.Length{5, 3}
	dotted = []vg.Length{1.5, 2.5}
)

// A drawing is a plot's file, and what draws it: nil, if what it shows was not
// measured.
type drawing struct {
	file string
	draw func(results) (*picture, error)
}

func drawings() []drawing {
	return []drawing{
		{"latency-request.svg", requestLatency.draw},
		{"latency-login.svg", loginLatency.draw},
		{"request-size.svg", bySize},
		{"login-parts.svg", loginParts},
		{"handoff.svg", byQueue},
	}
}

// drawAll leaves no plot of an earlier run beside a report that knows nothing of
// it.
func drawAll(out string, r results) (err error) {
	for _, d := range drawings() {
		p, failed := d.draw(r)
		file := filepath.Join(out, d.file)
		switch {
		case failed != nil:
			err = errors.Join(err, fmt.Errorf("%s: %w", d.file, failed))
		case p != nil:
			err = errors.Join(err, save(p, file))
		default:
			if failed := os.Remove(file); !errors.Is(failed, fs.ErrNotExist) {
				err = errors.Join(err, failed)
			}
		}
	}
	return err
}

// A picture is a plot whose legend stands beside it, where it can hide nothing.
type picture struct {
	*plot.Plot
	legend plot.Legend
}

func save(p *picture, file string) error {
	canvas := vgsvg.New(10*vg.Inch, 5*vg.Inch)
	all := draw.New(canvas)
	canvas.SetColor(color.White)
	canvas.Fill(all.Path())
	const margin = 12
	all = draw.Crop(all, margin, -margin, margin, -margin)
	// Where another font stands in for the plot's, texts are longer.
	wide := p.legend.Rectangle(all).Size().X * 1.2
	p.Draw(draw.Crop(all, 0, -wide-margin, 0, 0))
	p.legend.Draw(draw.Crop(all, all.Size().X-wide, 0, 0, -40))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	// Few have Liberation; Arial and Helvetica are as wide.
	text := bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	return os.WriteFile(file, text, 0o666)
}

// newPlot has a grid, and room for what it says.
func newPlot(title, x, y string) *picture {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = vg.Points(10)
	p.Title.TextStyle.Font.Size = 14
	legend := plot.NewLegend()
	legend.Left, legend.Top = true, true
	legend.Padding, legend.ThumbnailWidth = vg.Points(3), vg.Points(28)
	for _, f := range []*font.Font{
		&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font,
		&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &legend.TextStyle.Font,
	} {
		f.Variant = "Sans"
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = pale, pale
	grid.Vertical.Width, grid.Horizontal.Width = vg.Points(0.5), vg.Points(0.5)
	p.Add(grid)
	return &picture{Plot: p, legend: legend}
}

// add draws a curve's line, and its points if it has few.
func (c curve) add(p *picture, points plotter.XYs, marked bool) error {
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	line.Color, line.Width, line.Dashes = c.colour, vg.Points(1.8), c.dashes
	dots.Color, dots.Radius, dots.Shape = c.colour, vg.Points(3), draw.CircleGlyph{}
	p.Add(line)
	if marked {
		p.Add(dots)
	}
	p.legend.Add(c.called, line)
	return nil
}
