package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sallyport/sallyport/scenarios/probe"
	"github.com/sallyport/sallyport/server/audit/show"
)

// probePrinter prints verdicts. On a terminal it prints deviations only, with the progress below them. Elsewhere it
// prints each case.
type probePrinter struct {
	progressPrinter
	prober *probe.Prober
	// kept has the results of the current case, which are not printed yet.
	kept   []probe.Result
	start  time.Time
	total  int
	done   int
	failed int
	// announcement is the number of failed logins to expect.
	announcement string
}

func newProbePrinter(p *probe.Prober) *probePrinter {
	out := &probePrinter{progressPrinter: progressPrinter{stdout, stdout.isTerminal()}, prober: p, start: time.Now(), total: len(p.Cases()) + 4}
	if p.Role == probe.ServerRole {
		out.announcement = fmt.Sprintf("at most %d failed logins, one after another, at %s\n", p.FailedLogins(), p.Target)
	}
	return out
}

// result prints the results before r, unless r is of the same case.
func (p *probePrinter) result(r *probe.Result) {
	if p.done == 0 { // only logins that succeed have been tried
		fmt.Fprint(p.out, p.announcement)
	}
	if len(p.kept) > 0 && !probe.SameCase(&p.kept[0], r) {
		p.flush()
	}
	p.kept = append(p.kept, *r)
	p.done++
	if r.Failed() {
		p.failed++
	}
	p.clear()
	p.progress()
}

// flush prints the kept results.
func (p *probePrinter) flush() {
	p.clear()
	for _, f := range probe.Fold(p.kept) {
		p.folded(&f)
	}
	p.kept = nil
}

func (p *probePrinter) folded(f *probe.Folded) {
	verdict, name := string(f.Verdict), show.Printable(f.Names())
	if f.Failed() {
		verdict = "FAIL"
	}
	switch {
	case f.Known != "":
		p.line("%-10s  %s: known: %s", verdict, name, show.Printable(f.Known))
	case f.Verdict == probe.Pass:
		p.line("%-10s  %s", verdict, name)
	case f.Verdict == probe.Skip:
		p.line("%-10s  %s: %s", verdict, name, show.Printable(f.Reason))
	default:
		p.deviation(f, verdict, name)
	}
}

// deviation prints a deviation in full, for users who don't read the reports.
func (p *probePrinter) deviation(f *probe.Folded, verdict, name string) {
	fmt.Fprintf(p.out, "%-10s  %s (%s)\n", verdict, name, show.Printable(strings.Join(f.Mechanisms(), ", ")))
	fmt.Fprintf(p.out, "            rule: %s (%s, %s)\n", f.Demand, f.Section, f.Level())
	fmt.Fprintf(p.out, "            %s: %s\n", strings.ToLower(f.Special()), show.Printable(f.About))
	if len(f.All) > 1 {
		fmt.Fprintf(p.out, "            the exchange is that of %s; the other logins ended in the same way\n", f.Login())
	}
	p.exchange(f.Transcript)
	fmt.Fprintf(p.out, "            expected: %s\n", f.Expected)
	fmt.Fprintf(p.out, "            came: %s\n", show.Printable(f.Reason))
	if f.Words != "" {
		fmt.Fprintf(p.out, "            its words: %s\n", show.Printable(f.Words))
	}
	if f.Verdict != probe.Skip {
		fmt.Fprintf(p.out, "            alone: %s\n", show.Printable(p.prober.Summary.Again(f.Alone())))
	}
}

// exchange prints the altered message. If no message is altered, the login as a whole has the fault, and exchange
// prints all messages.
func (p *probePrinter) exchange(all []probe.Message) {
	altered := slices.ContainsFunc(all, func(m probe.Message) bool { return m.Altered })
	for _, m := range all {
		parts := m.Parts()
		switch {
		case m.Altered:
			fmt.Fprintf(p.out, "            sent: %s>>>%s<<<%s\n", shown(parts[0]), shown(parts[1]), shown(parts[2]))
		case !altered:
			fmt.Fprintf(p.out, "            %s: %s\n", m.From, shown(m.Text))
		}
		if m.Own != "" && parts[1] == "" { // something is missing there
			fmt.Fprintf(p.out, "            in place of: %s\n", shown(m.Own))
		}
	}
}

// shown returns a part of a message on one line, and cuts it where it is long.
func shown(text string) string {
	if len(text) > 200 {
		return fmt.Sprintf("%s… (%d bytes)", show.Printable(strings.ToValidUTF8(text[:200], "")), len(text))
	}
	return show.Printable(text)
}

func (p *probePrinter) progress() {
	if !p.isTerminal || p.done >= p.total {
		return
	}
	left := time.Since(p.start) / time.Duration(p.done) * time.Duration(p.total-p.done)
	fmt.Fprintf(p.out, "%d of %d, %d failed, %.0f s left", p.done, p.total, p.failed, left.Seconds())
}

// summary prints the totals, why cases were skipped, and which known deviations did not occur.
func (p *probePrinter) summary(all []probe.Result) {
	if p.flush(); len(all) == 0 {
		return
	}
	totals := probe.Totals(all)
	var counts []string
	for _, verdict := range []probe.Verdict{probe.Pass, probe.Fail, probe.NonStrict, probe.Info, probe.Skip} {
		counts = append(counts, fmt.Sprintf("%d %s", totals[verdict], verdict))
	}
	s := &p.prober.Summary
	fmt.Fprintf(p.out, "%s in %.1f s\n", strings.Join(counts, ", "), time.Since(p.start).Seconds())
	if s.Peer != "" || len(s.Offered) > 0 {
		fmt.Fprintf(p.out, "  %s: %s %s\n", p.prober.Role, show.Printable(s.Peer), show.Printable(strings.Join(append(s.Offered, s.TLS), " ")))
	}
	for _, level := range probe.Levels(all) {
		fmt.Fprintf(p.out, "  %s\n", level)
	}
	if p.prober.Level != "all" {
		fmt.Fprintln(p.out, "  limit and policy: not played, --level all plays them")
	}
	if n := probe.Unanswered(all); n > 0 {
		fmt.Fprintf(p.out, "  %d not answered: the peer neither accepted nor refused in time\n", n)
	}
	for _, s := range probe.Skips(all) {
		fmt.Fprintf(p.out, "  %d skipped: %s\n", s.Count, show.Printable(s.Reason))
	}
	for _, name := range s.Unused {
		fmt.Fprintf(p.out, "  deviates no longer: %s\n", show.Printable(name))
	}
}

func listProbe(p *probe.Prober) error {
	out := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, r := range p.Cases() {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", show.Printable(r.Name), r.Rule, r.Section, show.Printable(r.About))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	for _, name := range p.Accounts() {
		fmt.Fprintf(stdout, "further account: %s\n", show.Printable(name))
	}
	return nil
}
