package report

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"time"

	"github.com/sallyport/sallyport/scenarios"
)

//go:embed page.html parts.html page.css
var files embed.FS

var templates = template.Must(template.ParseFS(files, "*.html", "*.css"))

// Limits of a page.
const (
	maxShown   = 300 // scenarios of the same status
	maxSteps   = 200 // of one scenario
	maxRecords = 200 // of one scenario's interaction log
)

// HTML writes one page about all results. It is static, has no script and fetches nothing, so that it can be
// sent as a file, kept as an artefact of CI, or printed. Failed scenarios come first and are open. For each
// scenario the page shows a sequence diagram with what Eve saw of each exchange, the interaction log, and
// the time of each step.
//
// The page shows at most 300 scenarios of each status, each with at most 160 exchanges, 200 steps and 200
// records, and says how many it leaves out. The error is that of w.
func HTML(w io.Writer, all []scenarios.Result) error {
	if err := templates.ExecuteTemplate(w, "page.html", newPage(all)); err != nil {
		return fmt.Errorf("HTML report: %w", err)
	}
	return nil
}

// A page is the data of the templates. Its texts are visible and bounded, and the templates escape them.
type page struct {
	Total int
	// Start and Took are empty if no scenario ran.
	Start, Took string
	// Groups are failed, passed and skipped.
	Groups []group
}

// A group has the scenarios that ended in the same way.
type group struct {
	Status scenarios.Status
	// Mark shows the status without colour.
	Mark  string
	Count string
	All   []scenario
	// Left is the number of scenarios that are left out. Empty means none.
	Left string
}

type scenario struct {
	ID, Name, Combination, Title, File string
	Status                             scenarios.Status
	Labels                             []string
	Took, Start                        string
	Reason, Err                        string
	Diagram                            *diagram
	Log                                cut[record]
	Steps                              cut[step]
}

type step struct {
	Line      int
	Who, Text string
	// Want is "!", "?" or "".
	Want              string
	Background, Fault bool
	Start, Took, Err  string
	// X and Width place the bar on the time line, in thousandths of the run.
	X, Width int
}

func newPage(all []scenarios.Result) page {
	p := page{Total: len(all), Groups: []group{
		newGroup(all, scenarios.Failed, "✗"), newGroup(all, scenarios.Passed, "✓"), newGroup(all, scenarios.Skipped, "–"),
	}}
	p.Start, p.Took = period(all)
	return p
}

func newGroup(all []scenarios.Result, status scenarios.Status, mark string) group {
	g := group{Status: status, Mark: mark}
	n := 0
	for i := range all {
		if all[i].Status != status {
			continue
		}
		if n++; n <= maxShown {
			g.All = append(g.All, newScenario(&all[i], fmt.Sprintf("scenario-%d", i+1)))
		}
	}
	g.Count = count(n)
	if n > maxShown {
		g.Left = count(n - maxShown)
	}
	return g
}

// period returns when the first run began, and the time from then until the last one ended.
func period(all []scenarios.Result) (start, took string) {
	if len(all) == 0 {
		return "", ""
	}
	began := slices.MinFunc(all, func(a, b scenarios.Result) int { return a.Start.Compare(b.Start) }).Start
	var ended time.Time
	for _, r := range all {
		if t := r.Start.Add(r.Duration); t.After(ended) {
			ended = t
		}
	}
	return moment(began), span(ended.Sub(began))
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func newScenario(r *scenarios.Result, id string) scenario {
	s := scenario{
		ID: id, Status: r.Status,
		Name: visible(r.Scenario.Name, maxText), File: visible(r.Scenario.File, maxText),
		Title: visible(r.Scenario.Title, maxText), Combination: visible(r.Combination.String(), maxText),
		Start: moment(r.Start), Took: span(r.Duration), Reason: visible(r.Reason, maxText),
		Diagram: newDiagram(r.Exchanges),
		Log:     each(ends(r.Log, maxRecords), func(raw json.RawMessage) record { return newRecord(raw, r.Start) }),
		Steps:   each(ends(r.Steps, maxSteps), func(s scenarios.Step) step { return newStep(s, r) }),
	}
	for _, label := range r.Scenario.Labels {
		s.Labels = append(s.Labels, visible(label, maxText))
	}
	if r.Err != nil {
		s.Err = paragraph(r.Err.Error(), maxError)
	}
	return s
}

func newStep(s scenarios.Step, r *scenarios.Result) step {
	full := cmp.Or(r.Duration, 1)
	x := int(1000 * min(s.Start, full) / full)
	return step{
		Line: s.Line, Who: visible(s.Who, maxText), Text: visible(s.Text, maxText),
		Want: s.Want, Background: s.Background, Err: paragraph(s.Err, maxText),
		Fault: r.Status == scenarios.Failed && s.Want != "?" && (s.Want == "!") == (s.Err == ""),
		Start: span(s.Start), Took: span(s.Duration),
		X: min(x, 984), Width: max(16, int(1000*min(s.Duration, full-min(s.Start, full))/full)),
	}
}

// each applies show to both parts of a list.
func each[A, B any](c cut[A], show func(A) B) cut[B] {
	shown := cut[B]{Left: c.Left}
	for _, a := range c.Head {
		shown.Head = append(shown.Head, show(a))
	}
	for _, a := range c.Tail {
		shown.Tail = append(shown.Tail, show(a))
	}
	return shown
}
