package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/scenarios/probe"
	"github.com/sallyport/sallyport/server/audit/show"
)

// probePrinter prints verdicts: on a terminal those other than pass and skip, with the progress below them;
// elsewhere a line for each case.
type probePrinter struct {
	progressPrinter
	// alone returns the command that plays one case by itself.
	alone  func(name string) string
	start  time.Time
	total  int
	done   int
	failed int
	// announcement is the number of failed logins to expect.
	announcement string
}

func newProbePrinter(p *probe.Prober, alone func(string) string) *probePrinter {
	out := &probePrinter{progressPrinter: progressPrinter{stdout, stdout.isTerminal()}, alone: alone, start: time.Now(), total: len(p.Cases()) + 4}
	if p.Role == probe.ServerRole {
		out.announcement = fmt.Sprintf("at most %d failed logins, one after another, at %s\n", p.FailedLogins(), p.Target)
	}
	return out
}

func (p *probePrinter) result(r *probe.Result) {
	if p.done == 0 { // only logins that succeed have been tried
		fmt.Fprint(p.out, p.announcement)
	}
	p.clear()
	p.done++
	verdict, name := string(r.Verdict), show.Printable(r.Name)
	if r.Failed() {
		p.failed++
		verdict = "FAIL"
	}
	switch {
	case r.Known != "":
		p.line("%-10s  %s: known: %s", verdict, name, show.Printable(r.Known))
	case r.Verdict == probe.Pass:
		p.line("%-10s  %s", verdict, name)
	case r.Verdict == probe.Skip:
		p.line("%-10s  %s: %s", verdict, name, show.Printable(r.Reason))
	default:
		p.deviation(r, verdict, name)
	}
	p.progress()
}

// deviation prints a deviation in full, for users who don't read the reports.
func (p *probePrinter) deviation(r *probe.Result, verdict, name string) {
	fmt.Fprintf(p.out, "%-10s  %s (%s)\n", verdict, name, show.Printable(r.Mechanism))
	fmt.Fprintf(p.out, "            rule: %s %s: %s\n", r.Rule, r.Section, show.Printable(r.About))
	fmt.Fprintf(p.out, "            %s\n", show.Printable(r.Reason))
	if r.Words != "" {
		fmt.Fprintf(p.out, "            its words: %s\n", show.Printable(r.Words))
	}
	if r.Verdict == probe.Fail {
		fmt.Fprintf(p.out, "            alone: %s\n", show.Printable(p.alone(r.Name)))
	}
}

func (p *probePrinter) progress() {
	if !p.isTerminal || p.done >= p.total {
		return
	}
	left := time.Since(p.start) / time.Duration(p.done) * time.Duration(p.total-p.done)
	fmt.Fprintf(p.out, "%d of %d, %d failed, %.0f s left", p.done, p.total, p.failed, left.Seconds())
}

// summary prints the totals, why cases were skipped, and which known deviations did not occur.
func (p *probePrinter) summary(prober *probe.Prober, all []probe.Result) {
	if p.clear(); len(all) == 0 {
		return
	}
	totals, skipped := probe.Totals(all), map[string]int{}
	var counts []string
	for _, verdict := range []probe.Verdict{probe.Pass, probe.Fail, probe.NonStrict, probe.Info, probe.Skip} {
		counts = append(counts, fmt.Sprintf("%d %s", totals[verdict], verdict))
	}
	for _, r := range all {
		if r.Verdict == probe.Skip {
			skipped[r.Reason]++
		}
	}
	s := &prober.Summary
	fmt.Fprintf(p.out, "%s in %.1f s\n", strings.Join(counts, ", "), time.Since(p.start).Seconds())
	if s.Peer != "" || len(s.Offered) > 0 {
		fmt.Fprintf(p.out, "  %s: %s %s\n", prober.Role, show.Printable(s.Peer), show.Printable(strings.Join(append(s.Offered, s.TLS), " ")))
	}
	for _, reason := range slices.Sorted(maps.Keys(skipped)) {
		fmt.Fprintf(p.out, "  %d skipped: %s\n", skipped[reason], show.Printable(reason))
	}
	for _, name := range s.Unused {
		fmt.Fprintf(p.out, "  deviates no longer: %s\n", show.Printable(name))
	}
}
