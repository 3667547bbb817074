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
		Levels  []Level         `json:"levels"`
		Unused  []string        `json:"deviates_no_longer,omitempty"`
		Results []jsonResult    `json:"results"`
	}
	jsonResult struct {
		Result
		Seconds float64 `json:"seconds"`
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
		Totals: Totals(all), Levels: Levels(all), Silent: Unanswered(all), Unused: s.Unused, Results: make([]jsonResult, 0, len(all)),
	}
	if s.Err != nil {
		doc.Error = s.Err.Error()
	}
	for _, r := range all {
		r.Transcript = append([]Message{}, r.Transcript...)
		doc.Results = append(doc.Results, jsonResult{r, r.Took.Seconds()})
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", " ")
	return out.Encode(doc)
}
