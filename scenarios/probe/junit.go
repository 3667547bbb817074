package probe

import (
	"fmt"
	"io"
	"strings"

	"github.com/sallyport/sallyport/scenarios/report"
)

// JUnit writes a run with [report.WriteJUnit]. A failed case is a failure. Non-strict and info cases pass, with the
// deviation in system-out. A run that ended early has one more case, with an error.
func JUnit(w io.Writer, s *Summary, all []Result) error {
	suite := report.NewJUnitSuite(s.URL, s.Start)
	for i := range all {
		r := &all[i]
		file, _, _ := strings.Cut(r.Name, "/")
		c := report.JUnitCase{Name: r.Name, ClassName: r.Rule + "." + file, Out: transcript(r)}
		switch {
		case r.Verdict == Skip:
			c.Skipped = &report.JUnitSkipped{Message: r.Reason}
		case r.Failed():
			text := fmt.Sprintf("rule: %s (%s, %s)\n%s: %s\nexpected: %s\n", r.Demand, r.Section, r.Level(), r.Special(), r.About, r.Expected)
			c.Failure = &report.JUnitFailure{Message: r.Reason, Type: string(r.Verdict), Text: text}
		}
		suite.Add(c, r.Took)
	}
	if s.Err != nil {
		outcome := report.JUnitFailure{Message: s.Err.Error(), Type: s.Outcome(), Text: "the cases that have not been played are not judged"}
		suite.Add(report.JUnitCase{Name: "the run as a whole", ClassName: "run", Error: &outcome}, 0)
	}
	return report.WriteJUnit(w, "sallyport probe", suite)
}

// transcript returns the exchange as text, with the verdict behind it.
func transcript(r *Result) string {
	var b strings.Builder
	for _, m := range r.Transcript {
		mark := " "
		if m.Altered {
			mark = "!"
		}
		fmt.Fprintf(&b, "%s%s %s\n", strings.ToUpper(m.From[:1]), mark, cut(m.Text))
	}
	fmt.Fprintf(&b, "%s: %s", r.Verdict, r.Reason)
	if r.Words != "" {
		fmt.Fprintf(&b, "; its words: %s", cut(r.Words))
	}
	return b.String() + "\n"
}

// maxShown bounds one message in a report for people, in bytes.
const maxShown = 600

func cut(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(text[:maxShown], ""), len(text))
}
