package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report writes the files, and the table to stdout as well.
func report(out string, made []row, measured results, stdout io.Writer) error {
	table := markdown(made) + "\n" + machine() + "\n"
	list := make([]map[string]any, 0, len(made))
	for _, r := range made {
		list = append(list, r.fields(measured))
	}
	text, err := json.MarshalIndent(list, "", "  ")
	_, printed := io.WriteString(stdout, table)
	return errors.Join(err, printed, draw(out, measured),
		os.WriteFile(filepath.Join(out, "report.md"), []byte(table), 0o666),
		os.WriteFile(filepath.Join(out, "report.json"), append(text, '\n'), 0o666))
}

// markdown is the table, aligned so that it reads well as it is.
func markdown(made []row) string {
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 1, ' ', 0)
	line := func(cells ...string) { fmt.Fprintf(table, "| %s\t|\n", strings.Join(cells, "\t| ")) }
	line("figure", "ours", "floor or peer", "ratio (95 % interval)", "goal", "")
	line(strings.Split("--- --- --- --- --- ---", " ")...)
	for _, r := range made {
		line(r.cells()...)
	}
	_ = table.Flush() // a Buffer never fails
	return out.String()
}

// cells round against the product, whatever the figure is.
func (r row) cells() []string {
	base, goal, verdict := "", "reported", ""
	ratio := fmt.Sprintf("%s (%s to %s)", decimal(r.ratio.mid, 3, !r.limit.speed),
		decimal(r.ratio.low, 3, false), decimal(r.ratio.high, 3, true))
	bound := fmt.Sprintf("%.2f", r.limit.bound)
	if !r.alone() {
		base = r.unit.print(r.floor.mid, false)
	} else {
		ratio = fmt.Sprintf("(%s to %s)", r.unit.print(r.ratio.low, false), r.unit.print(r.ratio.high, true))
		bound = r.unit.print(r.limit.bound, false)
	}
	if r.judged() {
		goal, verdict = map[bool]string{false: "≤ ", true: "≥ "}[r.limit.speed]+bound, "**missed**"
		if r.met() {
			verdict = "met"
		}
	}
	return []string{r.figure, r.unit.print(r.ours.mid, true), base, ratio, goal, verdict}
}

// A unit says how a side is printed.
type unit int

const (
	duration unit = iota
	allocations
	size
	rate // the inverse of a time
)

func (u unit) print(value float64, up bool) string {
	switch {
	case u == allocations:
		return decimal(value, 3, up)
	case u == size:
		return decimal(value/1024, 2, up) + " KiB"
	case u == rate:
		return decimal(1/value, 2, !up) + " ×"
	case value >= 1e6:
		return decimal(value/1e6, 2, up) + " ms"
	case value >= 1e3:
		return decimal(value/1e3, 2, up) + " µs"
	}
	return decimal(value, 0, up) + " ns"
}

// decimal rounds up or down to so many places.
func decimal(value float64, places int, up bool) string {
	if math.IsInf(value, 0) || math.IsNaN(value) {
		return "?"
	}
	scale := math.Pow(10, float64(places))
	rounded := math.Floor(value*scale + 1e-6) // 1.1*1000 is a little more than 1100
	if up {
		rounded = math.Ceil(value*scale - 1e-6)
	}
	return strconv.FormatFloat(rounded/scale, 'f', places, 64)
}

// fields are a row of report.json. Null is what too few rounds don't say, or a goal that there isn't.
func (r row) fields(measured results) map[string]any {
	f := map[string]any{"name": r.name, "sign": map[bool]string{false: "<=", true: ">="}[r.limit.speed], "goal": nil, "met": nil, "ratio": nil, "ratio_low": nil, "ratio_high": nil}
	set := func(key string, value float64) {
		if !math.IsInf(value, 0) && !math.IsNaN(value) { // which JSON doesn't know
			f[key] = value
		}
	}
	side := func(name, of string) {
		set(name+"_ns", medianOf(measured[of], "ns/op"))
		set(name+"_allocs", medianOf(measured[of], "allocs/op"))
	}
	side("ours", r.of[0])
	if r.alone() {
		set("ours_bytes", r.ours.mid)
	} else {
		side(map[bool]string{true: "peer", false: "floor"}[r.peer], r.of[len(r.of)-1])
		set("ratio", r.ratio.mid)
		set("ratio_low", r.ratio.low)
		set("ratio_high", r.ratio.high)
	}
	if r.judged() {
		f["goal"], f["met"] = r.limit.bound, r.met()
	}
	return f
}

// machine says what the figures were measured on, and of which revision.
func machine() string {
	revision, _ := exec.Command("git", "describe", "--always", "--dirty").Output()
	return fmt.Sprintf("Machine: %s, %d cores (GOMAXPROCS %d), %s, %s/%s, %s, revision %s.", cpu(), runtime.NumCPU(),
		runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH,
		time.Now().Format(time.DateOnly), bytes.TrimSpace(revision))
}

func cpu() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, " \t\n:")
		}
	}
	return "unknown processor"
}
