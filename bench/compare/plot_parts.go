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

// loginPieces are the parts, and where each was measured by itself. The first
// must be there; the last is all that none of them explains.
var loginPieces = []curve{
	{of: "Login/[keys=cached]/[iterations=%s]/of=tls", called: "TLS handshake + 1 octet\n(the floor)", colour: red},
	{of: "Login/[keys=derived]/iterations=%s/of=pbkdf2", called: "PBKDF2", colour: orange},
	{of: "Login/[iterations=%s]/of=scram", called: "SCRAM, both ends", colour: sky},
	{of: "Login/[iterations=%s]/of=log", called: "the log's records", colour: green},
	{called: "the rest:\nround trips, the seat", colour: blue},
}

func splitLogins(r results) (kinds []string, parts []part) {
	for _, piece := range loginPieces {
		parts = append(parts, part{curve: piece})
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
		took, measured := typical(r, selector(strings.ReplaceAll(string(piece.of), "%s", n)))
		if i == 0 && !measured {
			return nil, false
		}
		if piece.called == "PBKDF2" && keys == "cached" {
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
