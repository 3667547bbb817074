package report

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"path"
	"slices"
	"time"

	"github.com/sallyport/sallyport/scenarios"
)

//go:embed page.html parts.html page.css
var files embed.FS

var templates = template.Must(template.ParseFS(files, "*.html", "*.css"))

// Limits of a page.
const (
	maxShown   = 300  // scenarios of the same status with all that happened
	maxListed  = 3000 // scenarios of the same status
	maxSteps   = 200  // of one scenario
	maxRecords = 200  // of one scenario's interaction log
)

// HTML writes one page about all results. It is static, has no script and fetches nothing, so that it can be
// sent as a file, kept as an artefact of CI, or printed. Scenarios are in their folders. Those with a failure come
// first, and failed scenarios are open: below the error is the source with the line that failed. For each
// scenario the page shows a sequence diagram with what Eve saw of each exchange, the interaction log, the
// time of each step, and the steps that were not reached.
//
// Of each status the page shows 300 scenarios, each with at most 160 exchanges, 200 steps and 200 records, and lists
// further ones by name, 3,000 in all. It says how many it leaves out. The error is that of w.
func HTML(w io.Writer, about About, all []scenarios.Result) error {
	if err := templates.ExecuteTemplate(w, "page.html", newPage(about, all)); err != nil {
		return fmt.Errorf("HTML report: %w", err)
	}
	return nil
}

// A page is the data of the templates. Its texts are visible and bounded, and the templates escape them.
type page struct {
	Total int
	// About are facts and their names.
	About []fact
	// Start and Took are empty if no scenario ran.
	Start, Took string
	// Tally are failed, passed and skipped.
	Tally   []tally
	Folders []*folder
}

type fact struct{ Name, Text string }

// A tally is the number of scenarios that ended in the same way.
type tally struct {
	Status scenarios.Status
	// Mark shows the status without colour.
	Mark  string
	Count string
	// Left is the number of scenarios of a folder that are left out. Empty means none.
	Left    string
	n, left int
}

type scenario struct {
	ID, Name, Combination, Title, File string
	Status                             scenarios.Status
	// Brief means that only its name is shown.
	Brief       bool
	Labels      []string
	Took, Start string
	Mark        string
	Reason, Err string
	Source      *source // of a failed one
	Diagram     *diagram
	Log         cut[record]
	Steps       cut[step]
}

type step struct {
	Line      int
	Who, Text string
	// Want is "!", "?" or "".
	Want              string
	Background, Fault bool
	// Unreached means that the run ended before the step.
	Unreached        bool
	Start, Took, Err string
	// X and Width place the bar on the time line, in thousandths of the run.
	X, Width int
}

func newPage(about About, all []scenarios.Result) page {
	p := page{Total: len(all), About: about.facts(), Tally: newTally()}
	p.Start, p.Took = period(all)
	folders := map[string]*folder{}
	for i := range all {
		t := &p.Tally[place(all[i].Status)]
		t.n++
		name := path.Dir(all[i].Scenario.Name)
		if folders[name] == nil {
			folders[name] = newFolder(name)
			p.Folders = append(p.Folders, folders[name])
		}
		folders[name].add(&all[i], i+1, t.n)
	}
	for i := range p.Tally {
		p.Tally[i].Count = count(p.Tally[i].n)
	}
	for _, f := range p.Folders {
		f.end()
	}
	slices.SortStableFunc(p.Folders, func(a, b *folder) int { return failedFirst(a.Open, b.Open) })
	return p
}

// newTally returns the tallies in the order of place.
func newTally() []tally {
	return []tally{
		{Status: scenarios.Failed, Mark: "✗"}, {Status: scenarios.Passed, Mark: "✓"}, {Status: scenarios.Skipped, Mark: "–"},
	}
}

func place(s scenarios.Status) int {
	switch s {
	case scenarios.Failed:
		return 0
	case scenarios.Passed:
		return 1
	}
	return 2
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

// newScenario returns a scenario. A brief one has only its name and result.
func newScenario(r *scenarios.Result, id string, brief bool) scenario {
	s := scenario{
		ID: id, Status: r.Status, Mark: newTally()[place(r.Status)].Mark, Took: span(r.Duration), Brief: brief,
		Name: visible(r.Scenario.Name, maxText), Combination: visible(r.Combination.String(), maxText),
	}
	if !brief {
		s.describe(r)
	}
	return s
}

// describe adds all that happened.
func (s *scenario) describe(r *scenarios.Result) {
	s.File, s.Title = visible(r.Scenario.File, maxText), visible(r.Scenario.Title, maxText)
	s.Start, s.Reason = moment(r.Start), visible(r.Reason, maxText)
	s.Diagram = newDiagram(r.Exchanges)
	s.Log = each(ends(r.Log, maxRecords), func(raw json.RawMessage) record { return newRecord(raw, r.Start) })
	s.Steps = ends(newSteps(r), maxSteps)
	for _, label := range r.Scenario.Labels {
		s.Labels = append(s.Labels, visible(label, maxText))
	}
	if r.Err != nil {
		s.Err = paragraph(r.Err.Error(), maxError)
		s.Source = newSource(r)
	}
}

// newSteps returns the steps that ran, and the steps that were not reached.
func newSteps(r *scenarios.Result) (all []step) {
	for _, s := range r.Steps {
		all = append(all, newStep(s, r))
	}
	return append(all, unreached(r)...)
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
