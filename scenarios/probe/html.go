package probe

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/scenarios/report"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"visible": report.Visible, "class": func(v Verdict) string { return looks[v][0] }, "mark": func(v Verdict) string { return looks[v][1] },
}).Parse(pageText))

// A page is the data of the template, which shows every text of the peer as visible characters.
type page struct {
	*Summary
	Style   template.CSS
	Title   string
	Started string
	// Tally has the verdicts, the worst first, and Totals the number of each.
	Tally   []Verdict
	Totals  map[Verdict]int
	Levels  []Level
	Groups  []group
	Skipped []Skipped
	Silent  int
}

// A group has the results of one section with one verdict.
type group struct {
	Verdict Verdict
	Section string
	// Logins is the number of logins in All.
	Logins int
	All    []Folded
}

// Skipped is a reason for which cases were skipped, with their number and their names without their logins.
type Skipped struct {
	Reason string
	Count  int
	Names  []string
}

// looks has the style sheet's class and the mark of each verdict.
var looks = map[Verdict][2]string{
	Fail: {"failed", "✗"}, NonStrict: {"skipped", "!"}, Info: {"skipped", "i"}, Pass: {"passed", "✓"}, Skip: {"skipped", "–"},
}

// HTML writes a page for people about a run: the worst verdicts first, by section of the RFC, each with its rule, the
// peer's words and the exchange. The page is static, has no script and fetches nothing.
func HTML(w io.Writer, s *Summary, all []Result) error {
	p := page{
		Summary: s, Style: report.Style(), Title: fmt.Sprintf("SCRAM login of a %s: %s", s.Role, s.URL),
		Started: s.Start.UTC().Format("2006-01-02 15:04:05 UTC"), Tally: Verdicts, Totals: Totals(all), Skipped: Skips(all), Levels: Levels(all),
		Silent: Unanswered(all),
	}
	for _, verdict := range Verdicts {
		if verdict != Skip {
			p.Groups = append(p.Groups, groups(all, verdict)...)
		}
	}
	if err := pageTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("HTML report: %w", err)
	}
	return nil
}

// groups sorts the results of a verdict by section.
func groups(all []Result, verdict Verdict) (groups []group) {
	for _, r := range Fold(all) {
		if r.Verdict != verdict {
			continue
		}
		i := slices.IndexFunc(groups, func(g group) bool { return g.Section == r.Section })
		if i < 0 {
			i = len(groups)
			groups = append(groups, group{Verdict: verdict, Section: r.Section})
		}
		groups[i].All = append(groups[i].All, r)
		groups[i].Logins += len(r.All)
	}
	slices.SortStableFunc(groups, func(a, b group) int { return strings.Compare(a.Section, b.Section) })
	return groups
}

// Skips counts the skipped cases by reason.
func Skips(all []Result) (counts []Skipped) {
	for _, r := range all {
		if r.Verdict != Skip {
			continue
		}
		i := slices.IndexFunc(counts, func(s Skipped) bool { return s.Reason == r.Reason })
		if i < 0 {
			i, counts = len(counts), append(counts, Skipped{Reason: r.Reason})
		}
		counts[i].Count++
		if name := caseOf(r.Name); !slices.Contains(counts[i].Names, name) {
			counts[i].Names = append(counts[i].Names, name)
		}
	}
	return counts
}

// levels explains the rules to a reader who does not know the project.
var levels = map[string]string{
	"must": "a MUST", "should": "a SHOULD", "grammar": "the grammar",
	"limit": "a limit of Sallyport only", "policy": "advice of Sallyport only",
}

// Level returns what kind of rule it is, for a reader.
func (r *Result) Level() string { return levels[r.Rule] }

// Alone returns the regular expression for --run that selects the results again.
func (f *Folded) Alone() string {
	if len(f.All) == 1 {
		return "^" + regexp.QuoteMeta(f.Name) + "$"
	}
	return "^" + regexp.QuoteMeta(caseOf(f.Name)) + " "
}
