package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
)

// A record is a row in report.json. A pointer that is nil is what there is no
// figure for: null, or left out.
type record struct {
	Name        string   `json:"name"`
	OursNS      float64  `json:"ours_ns"`
	FloorNS     *float64 `json:"floor_ns,omitempty"`
	PeerNS      *float64 `json:"peer_ns,omitempty"`
	OursAllocs  float64  `json:"ours_allocs"`
	FloorAllocs *float64 `json:"floor_allocs,omitempty"`
	PeerAllocs  *float64 `json:"peer_allocs,omitempty"`
	OursBytes   *float64 `json:"ours_bytes,omitempty"`
	Ratio       *float64 `json:"ratio"`
	RatioLow    *float64 `json:"ratio_low"`
	RatioHigh   *float64 `json:"ratio_high"`
	Sign        string   `json:"sign"` // of the goal
	Goal        *float64 `json:"goal"`
	Met         *bool    `json:"met"`
}

func (r row) record() record {
	made := record{Name: r.name, OursNS: r.oursNS, OursAllocs: r.oursAllocs, Sign: r.limit.sign}
	if r.show == duration {
		made.OursNS = r.ours
	}
	switch base := r.baseNS; {
	case r.floor == 0:
	case r.peer:
		made.PeerNS, made.PeerAllocs = &base, &r.baseAllocs
	default:
		if r.show == duration {
			base = r.base
		}
		made.FloorNS, made.FloorAllocs = &base, &r.baseAllocs
	}
	if r.show == octets {
		made.OursBytes = &r.ours
	} else {
		made.Ratio, made.RatioLow, made.RatioHigh = finite(r.ratio.mid), finite(r.ratio.low), finite(r.ratio.high)
	}
	if r.judged() {
		met := r.met()
		made.Goal, made.Met = &r.limit.bound, &met
	}
	return made
}

// finite is nil for what JSON has no number for.
func finite(f float64) *float64 {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil
	}
	return &f
}

func writeJSON(w io.Writer, rows []row) error {
	records := make([]record, 0, len(rows))
	for _, r := range rows {
		records = append(records, r.record())
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(records)
}

var header = []string{"figure", "ours", "floor or peer", "ratio (95 % interval)", "goal", ""}

var signs = strings.NewReplacer("<=", "≤", ">=", "≥")

// cells are a row of the table.
func (r row) cells() []string {
	base, goal, verdict := "", "reported", ""
	if r.floor != 0 {
		base = r.show.print(r.base, false)
	}
	if r.judged() {
		goal, verdict = signs.Replace(r.limit.sign)+" "+r.printGoal(), "**missed**"
		if r.met() {
			verdict = "met"
		}
	}
	return []string{r.figure, r.show.print(r.ours, true), base, r.printRatio(), goal, verdict}
}

func (r row) printGoal() string {
	if r.show == octets {
		return octets.print(r.limit.bound, false)
	}
	return fmt.Sprintf("%.2f", r.limit.bound)
}

func (r row) printRatio() string {
	if r.show == octets {
		return fmt.Sprintf("(%s to %s)", octets.print(r.ratio.low, false), octets.print(r.ratio.high, true))
	}
	return fmt.Sprintf("%s (%s to %s)", r.limit.print(r.ratio.mid), decimal(r.ratio.low, 3, false), decimal(r.ratio.high, 3, true))
}

// writeMarkdown writes the table, aligned so that it can be read as it is.
func writeMarkdown(w io.Writer, rows []row, foot string) error {
	table := [][]string{header}
	for _, r := range rows {
		table = append(table, r.cells())
	}
	wide := widths(table)
	var out strings.Builder
	for i, cells := range table {
		line(&out, cells, wide)
		if i == 0 {
			line(&out, rules(wide), wide)
		}
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n", out.String(), foot)
	return err
}

func widths(table [][]string) []int {
	wide := make([]int, len(table[0]))
	for _, cells := range table {
		for i, cell := range cells {
			wide[i] = max(wide[i], len([]rune(cell)), 3)
		}
	}
	return wide
}

func rules(wide []int) (cells []string) {
	for _, n := range wide {
		cells = append(cells, strings.Repeat("-", n))
	}
	return cells
}

func line(out *strings.Builder, cells []string, wide []int) {
	for i, cell := range cells {
		fmt.Fprintf(out, "| %-*s ", wide[i], cell)
	}
	out.WriteString("|\n")
}
