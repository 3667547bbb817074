package probe

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/scenarios/report"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"visible": report.Visible}).Parse(pageText))

// A page is the data of the template, which shows every text of the peer as visible characters.
type page struct {
	*Summary
	Style   template.CSS
	Title   string
	Started string
	Tally   []tally
	Groups  []group
	Skipped []skipped
}

type tally struct {
	Verdict     Verdict
	Class, Mark string
	Count       int
}

// A group has the results of one section with one verdict.
type group struct {
	Verdict     Verdict
	Class, Mark string
	Section     string
	Open        bool
	All         []Result
}

type skipped struct {
	Reason string
	Count  int
}

// looks are the class of the style sheet and the mark of a verdict.
var looks = map[Verdict][2]string{
	Fail: {"failed", "✗"}, NonStrict: {"skipped", "!"}, Info: {"skipped", "i"}, Pass: {"passed", "✓"}, Skip: {"skipped", "–"},
}

// HTML writes a page for people about a run: the worst verdicts first, by section of the RFC, each with its rule, the
// peer's words and the exchange. The page is static, has no script and fetches nothing.
func HTML(w io.Writer, s *Summary, all []Result) error {
	p := page{
		Summary: s, Style: report.Style(), Title: fmt.Sprintf("SCRAM login of a %s: %s", s.Role, s.URL),
		Started: s.Start.UTC().Format("2006-01-02 15:04:05 UTC"),
	}
	totals := Totals(all)
	for _, verdict := range Verdicts {
		look := looks[verdict]
		p.Tally = append(p.Tally, tally{verdict, look[0], look[1], totals[verdict]})
		if verdict != Skip {
			p.Groups = append(p.Groups, groups(all, verdict)...)
		}
	}
	p.Skipped = reasons(all)
	if err := pageTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("HTML report: %w", err)
	}
	return nil
}

// groups sorts the results of a verdict by section.
func groups(all []Result, verdict Verdict) (groups []group) {
	look := looks[verdict]
	for _, r := range all {
		if r.Verdict != verdict {
			continue
		}
		i := slices.IndexFunc(groups, func(g group) bool { return g.Section == r.Section })
		if i < 0 {
			i = len(groups)
			groups = append(groups, group{Verdict: verdict, Class: look[0], Mark: look[1], Section: r.Section, Open: verdict == Fail})
		}
		for j := range r.Transcript {
			r.Transcript[j].Text = cut(r.Transcript[j].Text)
		}
		groups[i].All = append(groups[i].All, r)
	}
	slices.SortStableFunc(groups, func(a, b group) int { return strings.Compare(a.Section, b.Section) })
	return groups
}

// reasons counts the skipped cases by reason.
func reasons(all []Result) (counts []skipped) {
	for _, r := range all {
		if r.Verdict != Skip {
			continue
		}
		i := slices.IndexFunc(counts, func(s skipped) bool { return s.Reason == r.Reason })
		if i < 0 {
			i = len(counts)
			counts = append(counts, skipped{Reason: r.Reason})
		}
		counts[i].Count++
	}
	return counts
}

// Meaning says in a sentence what a rule demands, for a reader who doesn't know the RFC.
func (r Result) Meaning() string {
	said := map[string]string{
		"must": "The RFC demands it", "should": "The RFC recommends it", "grammar": "The RFC's grammar has it so",
		"limit": "A limit of Sallyport, which others need not have", "policy": "Advice of Sallyport, which others need not follow",
	}[r.Rule]
	verb := "A login with this fault must be refused"
	if strings.HasPrefix(r.Reason, "refused, though") || r.Battery == 0 {
		verb = "This login is right, and must succeed"
	}
	if strings.HasPrefix(r.Name, "checks/") {
		return said + " (" + r.Section + ")."
	}
	return verb + ". " + said + " (" + r.Section + ")."
}
