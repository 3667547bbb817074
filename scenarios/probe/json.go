package probe

import (
	"encoding/json"
	"io"
)

// Schema is the version of the format of [JSON]. It changes when a field changes its meaning, not when a field is
// added.
const Schema = "sallyport-probe/1"

type (
	jsonReport struct {
		Schema  string          `json:"schema"`
		Role    Role            `json:"role"`
		URL     string          `json:"url"`
		Peer    string          `json:"peer"`
		Offered []string        `json:"offered"`
		TLS     string          `json:"tls,omitempty"`
		Level   string          `json:"level"`
		Outcome string          `json:"outcome"`
		Error   string          `json:"error,omitempty"`
		Silent  int             `json:"unanswered"`
		Totals  map[Verdict]int `json:"totals"`
		Levels  []jsonLevel     `json:"levels"`
		Unused  []string        `json:"deviates_no_longer,omitempty"`
		Results []jsonResult    `json:"results"`
	}
	jsonLevel struct {
		Rule     string `json:"rule"`
		Tested   int    `json:"tested"`
		Deviated int    `json:"deviated"`
	}
	jsonResult struct {
		Name       string        `json:"name"`
		Battery    int           `json:"battery"`
		Rule       string        `json:"rule"`
		Section    string        `json:"section"`
		Demand     string        `json:"demand"`
		About      string        `json:"about"`
		Expected   string        `json:"expected"`
		Source     string        `json:"source,omitempty"`
		Mechanism  string        `json:"mechanism"`
		Verdict    Verdict       `json:"verdict"`
		Stage      string        `json:"stage"`
		Words      string        `json:"words"`
		Reason     string        `json:"reason"`
		Known      string        `json:"known,omitempty"`
		Seconds    float64       `json:"seconds"`
		Transcript []jsonMessage `json:"transcript"`
	}
	jsonMessage struct {
		From    string `json:"from"`
		Text    string `json:"text"`
		Altered bool   `json:"altered,omitempty"`
		Own     string `json:"own,omitempty"`
	}
)

// JSON writes a run for programs, as an object:
//
//   - schema: "sallyport-probe/1" ([Schema])
//   - role, url, peer (the product as announced, or the command under test), offered (mechanisms), tls (the version)
//   - level: must, should or all: which rules were tested
//   - outcome: complete, or not-reached, login-fails, not-allowed or interrupted ([Summary.Outcome]). Then error says
//     why, and the cases that are missing in results are not judged
//   - unanswered: the number of cases in which the peer fell silent, neither accepting nor refusing
//   - totals: the number of results by verdict; levels: of each rule how many were tested, and how many deviated
//   - deviates_no_longer: lines of --accept that were not needed
//   - results: an object for each case, with name, battery, rule, section, demand (the rule in a sentence), about (the
//     fault), expected, source, mechanism, verdict (pass, fail, non-strict, info, skip), stage, words (the peer's own),
//     reason (what came), known (the reason in the file of accepted deviations), seconds and transcript: from and text
//     of each message, and where it is altered also own: the same message without the fault
//
// Bytes of a text that are no UTF-8 become U+FFFD.
func JSON(w io.Writer, s *Summary, all []Result) error {
	doc := jsonReport{
		Schema: Schema, Role: s.Role, URL: s.URL, Peer: s.Peer, Offered: append([]string{}, s.Offered...), TLS: s.TLS, Level: s.Level, Outcome: s.Outcome(),
		Totals: Totals(all), Silent: Unanswered(all), Unused: s.Unused, Results: make([]jsonResult, 0, len(all)),
	}
	if s.Err != nil {
		doc.Error = s.Err.Error()
	}
	for _, level := range Levels(all) {
		doc.Levels = append(doc.Levels, jsonLevel(level))
	}
	for i := range all {
		r := &all[i]
		j := jsonResult{
			r.Name, r.Battery, r.Rule, r.Section, r.Demand, r.About, r.Expected, r.Source, r.Mechanism, r.Verdict, r.Stage, r.Words, r.Reason,
			r.Known, r.Took.Seconds(),
			[]jsonMessage{},
		}
		for _, m := range r.Transcript {
			j.Transcript = append(j.Transcript, jsonMessage(m))
		}
		doc.Results = append(doc.Results, j)
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", " ")
	return out.Encode(doc)
}
