package report

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"time"

	"github.com/sallyport/sallyport/scenarios"
)

// Schema is the version of the format of [JSON]. It changes when a field changes its meaning, not when a
// field is added.
const Schema = "sallyport-replay/1"

// The fields of the JSON report. Times are in seconds; those of steps and exchanges count from the start of
// their run.
type (
	jsonReport struct {
		Schema  string       `json:"schema"`
		Target  string       `json:"target"`
		Version string       `json:"version"`
		Command string       `json:"command"`
		Host    string       `json:"host"`
		Passed  int          `json:"passed"`
		Failed  int          `json:"failed"`
		Skipped int          `json:"skipped"`
		Results []jsonResult `json:"results"`
	}
	jsonResult struct {
		Name        string            `json:"name"`
		File        string            `json:"file"`
		Title       string            `json:"title"`
		Labels      []string          `json:"labels"`
		Combination map[string]string `json:"combination"`
		Status      scenarios.Status  `json:"status"`
		Reason      string            `json:"reason,omitempty"`
		Error       string            `json:"error,omitempty"`
		Start       time.Time         `json:"start"`
		Seconds     float64           `json:"seconds"`
		Steps       []jsonStep        `json:"steps"`
		Exchanges   []jsonExchange    `json:"exchanges"`
		Log         []json.RawMessage `json:"log"`
	}
	jsonStep struct {
		Line       int     `json:"line"`
		Who        string  `json:"who"`
		Text       string  `json:"text"`
		Want       string  `json:"want,omitempty"`
		Background bool    `json:"background,omitempty"`
		At         float64 `json:"at"`
		Seconds    float64 `json:"seconds"`
		Error      string  `json:"error,omitempty"`
	}
	jsonExchange struct {
		At     float64 `json:"at"`
		From   string  `json:"from"`
		To     string  `json:"to"`
		Text   string  `json:"text"`
		Wire   string  `json:"wire"`
		Octets int     `json:"octets"`
	}
)

// JSON writes everything that happened, for programs. The document is an object:
//
//   - schema: "sallyport-replay/1" ([Schema])
//   - target (empty: a server in the process for each scenario), version, command, host: see [About]
//   - passed, failed, skipped: the numbers of runs that ended so
//   - results: an object for each run, in order
//
// A result has:
//
//   - name (with the combination), file, title and labels (an array) of the scenario
//   - combination: an object with the value of each dimension
//   - status: "passed", "failed" or "skipped"; reason: why the run was skipped; error: why it failed, with file
//     and line at the beginning
//   - start (RFC 3339), seconds: when it ran, and how long
//   - steps: line, who, text, want ("!" or "?" before it), background, at, seconds, error (also if the step had
//     to fail)
//   - exchanges: at, from, to, text, wire (the first bytes on the network, in hex) and octets (the number of
//     bytes on the network)
//   - log: the records of the interaction log of a server in the process
func JSON(w io.Writer, about About, all []scenarios.Result) error {
	doc := jsonReport{
		Schema: Schema, Target: about.Target, Version: about.Version, Command: about.Command, Host: about.Host,
		Results: make([]jsonResult, 0, len(all)),
	}
	for i := range all {
		switch all[i].Status {
		case scenarios.Passed:
			doc.Passed++
		case scenarios.Failed:
			doc.Failed++
		default:
			doc.Skipped++
		}
		doc.Results = append(doc.Results, newJSONResult(&all[i]))
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", " ")
	return out.Encode(doc)
}

func newJSONResult(r *scenarios.Result) jsonResult {
	j := jsonResult{
		Name: r.Name(), File: r.Scenario.File, Title: r.Scenario.Title,
		Labels: append([]string{}, r.Scenario.Labels...), Combination: map[string]string{},
		Status: r.Status, Reason: r.Reason, Error: errorText(r),
		Start: r.Start, Seconds: r.Duration.Seconds(),
		Steps: []jsonStep{}, Exchanges: []jsonExchange{}, Log: []json.RawMessage{},
	}
	for _, choice := range r.Combination {
		j.Combination[choice.Dimension] = choice.Value
	}
	for _, s := range r.Steps {
		j.Steps = append(j.Steps, jsonStep{
			s.Line, s.Who, s.Text, s.Want, s.Background, s.Start.Seconds(), s.Duration.Seconds(), s.Err,
		})
	}
	for _, e := range r.Exchanges {
		j.Exchanges = append(j.Exchanges, jsonExchange{
			e.At.Seconds(), e.From, e.To, e.Text, hex.EncodeToString(e.Wire), e.Size,
		})
	}
	for _, record := range r.Log {
		if !json.Valid(record) { // a torn line
			record, _ = json.Marshal(string(record))
		}
		j.Log = append(j.Log, record)
	}
	return j
}

func errorText(r *scenarios.Result) string {
	if r.Err == nil {
		return ""
	}
	return r.Err.Error()
}
