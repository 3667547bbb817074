package main

import (
	"fmt"
	"strings"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// A part of a login, for each kind of login in milliseconds.
type part struct {
	curve
	of plotter.Values
}

// loginParts shows what of a login is the handshake's, and what the key
// derivation's: medians, so what is left for the rest is no median of its own.
func loginParts(r results) (*picture, error) {
	kinds, parts := splitLogins(r)
	if len(kinds) == 0 {
		return nil, nil
	}
	p := newPlot("A login and its parts", "time (ms): medians", "keys, iterations")
	var below *plotter.BarChart
	for _, part := range parts {
		bars, err := plotter.NewBarChart(part.of, vg.Points(34))
		if err != nil {
			return nil, err
		}
		bars.Horizontal, bars.Color, bars.LineStyle.Width = true, part.colour, 0
		if below != nil {
			bars.StackOn(below)
		}
		below = bars
		p.Add(bars)
		p.legend.Add(part.called, bars)
	}
	p.NominalY(kinds...)
	p.X.Min, p.X.Max = 0, p.X.Max*1.03
	return p, nil
}

// A piece is a part that was measured by itself, or what one takes longer than
// another.
type piece struct {
	curve
	beyond selector
	always bool // with cached keys as well
}

// loginPieces are those of a login; the last is all that the others don't
// explain. Without the first there is nothing to draw.
var loginPieces = []piece{
	{curve{of: "Login/[iterations=%s]/of=tls", called: "TLS handshake + 1 octet\n(the floor)", colour: red}, "", true},
	{curve{of: "Login/iterations=%s/of=pbkdf2", called: "PBKDF2", colour: orange}, "", false},
	{
		curve{of: "Login/[iterations=%s]/of=tls+exchange", called: "its round trips over TLS", colour: grey},
		"Login/[iterations=%s]/of=tls", true,
	},
	{curve{of: "Login/[iterations=%s]/of=scram", called: "SCRAM, both ends", colour: sky}, "", true},
	{curve{of: "Login/[iterations=%s]/of=log", called: "the log's records", colour: green}, "", true},
	{curve: curve{called: "the rest", colour: blue}},
}

// measured is how long the piece takes.
func (p piece) measured(r results, n string) (took float64, ok bool) {
	with := func(s selector) selector { return selector(strings.ReplaceAll(string(s), "%s", n)) }
	took, ok = typical(r, with(p.of))
	if !ok || p.beyond == "" {
		return took, ok
	}
	less, ok := typical(r, with(p.beyond))
	return max(0, took-less), ok
}

func splitLogins(r results) (kinds []string, parts []part) {
	for _, piece := range loginPieces {
		parts = append(parts, part{curve: piece.curve})
	}
	for _, n := range []string{"15000", "4096"} {
		for _, keys := range []string{"derived", "cached"} {
			times, ok := splitLogin(r, keys, n)
			if !ok {
				continue
			}
			kinds = append(kinds, fmt.Sprintf("%s, %s  ", keys, n))
			for i := range parts {
				parts[i].of = append(parts[i].of, times[i]/1e6)
			}
		}
	}
	return kinds, parts
}

// splitLogin takes the parts from the whole.
func splitLogin(r results, keys, n string) (times []float64, ok bool) {
	rest, ok := typical(r, ours("Login/keys="+keys+"/iterations="+n))
	if !ok {
		return nil, false
	}
	for i, piece := range loginPieces[:len(loginPieces)-1] {
		took, measured := piece.measured(r, n)
		if i == 0 && !measured {
			return nil, false
		}
		if keys == "cached" && !piece.always {
			took = 0
		}
		times, rest = append(times, took), rest-took
	}
	return append(times, max(0, rest)), true
}

// typical is the median time of an operation, or zero.
func typical(r results, s selector) (took float64, ok bool) {
	found, ok := r.find([]selector{s})
	if !ok {
		return 0, false
	}
	return median(column(rounds(found, "ns/op"), 0)).mid, true
}
