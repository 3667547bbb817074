package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/server/audit/show"
)

// replayPrinter prints the results of runs: on a terminal each failure and, below
// them, the progress; elsewhere a line for each run.
type replayPrinter struct {
	progressPrinter
	// alone returns the command that runs one case by itself.
	alone  func(name string) string
	start  time.Time
	total  int
	passed int
	failed int
	// skipped counts by reason.
	skipped map[string]int
}

func newReplayPrinter(suite *scenarios.Suite, alone func(string) string) *replayPrinter {
	p := &replayPrinter{
		progressPrinter: progressPrinter{stdout, stdout.isTerminal()}, alone: alone,
		start: time.Now(), total: len(suite.Cases()) * suite.Repeat, skipped: map[string]int{},
	}
	p.progress()
	return p
}

func (p *replayPrinter) done() int {
	n := p.passed + p.failed
	for _, skipped := range p.skipped {
		n += skipped
	}
	return n
}

// result prints the result of one run.
func (p *replayPrinter) result(r *scenarios.Result) {
	p.clear()
	name := show.Printable(r.Name())
	switch r.Status {
	case scenarios.Skipped:
		p.skipped[r.Reason]++
		p.line("skip  %s: %s", name, show.Printable(r.Reason))
	case scenarios.Failed:
		p.failed++
		fmt.Fprintf(p.out, "FAIL  %s (%.2f s)\n", name, r.Duration.Seconds())
		for line := range strings.Lines(r.Err.Error()) {
			fmt.Fprintf(p.out, "      %s\n", show.Printable(strings.TrimSuffix(line, "\n")))
		}
		fmt.Fprintf(p.out, "      claim: %s\n", show.Printable(r.Scenario.Title))
		fmt.Fprintf(p.out, "      alone: %s\n", show.Printable(p.alone(r.Name())))
	default:
		p.passed++
		p.line("ok    %s (%.2f s)", name, r.Duration.Seconds())
	}
	p.progress()
}

func (p *replayPrinter) progress() {
	done := p.done()
	if !p.isTerminal || done == p.total {
		return
	}
	fmt.Fprintf(p.out, "%d of %d, %d failed", done, p.total, p.failed)
	if done > 0 {
		left := time.Since(p.start) / time.Duration(done) * time.Duration(p.total-done)
		fmt.Fprintf(p.out, ", %.0f s left", left.Seconds())
	}
}

// summary prints how many runs had which result, and why some did not run.
func (p *replayPrinter) summary() {
	p.clear()
	ran := p.passed + p.failed
	fmt.Fprintf(p.out, "%d passed, %d failed, %d skipped in %.1f s\n",
		p.passed, p.failed, p.done()-ran, time.Since(p.start).Seconds())
	reasons := slices.Sorted(maps.Keys(p.skipped))
	slices.SortStableFunc(reasons, func(a, b string) int { return p.skipped[b] - p.skipped[a] })
	for _, reason := range reasons {
		fmt.Fprintf(p.out, "  %d skipped: %s\n", p.skipped[reason], show.Printable(reason))
	}
	if missing := p.total - p.done(); missing > 0 {
		fmt.Fprintf(p.out, "  %d not run\n", missing)
	}
}
