package probe

import (
	"time"

	"github.com/sallyport/sallyport/fixtures"
)

// Verdict is the result of one case.
type Verdict string

// The verdicts. Only Fail is held against the peer: it breaks a MUST. NonStrict breaks a SHOULD or is more lenient
// than the grammar, Info differs from a rule of this project only, and Skip was not tested.
const (
	Pass      Verdict = "pass"
	Fail      Verdict = "fail"
	NonStrict Verdict = "non-strict"
	Info      Verdict = "info"
	Skip      Verdict = "skip"
)

// Verdicts are all verdicts, the worst first.
var Verdicts = []Verdict{Fail, NonStrict, Info, Skip, Pass}

// offence is the verdict on a peer that does not keep a rule.
func offence(rule string) Verdict {
	switch rule {
	case "must":
		return Fail
	case "should", "grammar":
		return NonStrict
	}
	return Info
}

// A Result is the result of one case.
type Result struct {
	Name    string
	Battery int
	// Rule, Section, About and Source are those of [fixtures.Vector].
	Rule, Section, About, Source string
	Mechanism                    string
	Verdict                      Verdict
	// Stage is the last message that the peer got before it ended the login, or done.
	Stage string
	// Words are the peer's own words at the end of the login.
	Words string
	// Reason says in a sentence why the verdict is this one.
	Reason string
	// Known is the reason in the file of accepted deviations. Empty means that the deviation is not accepted.
	Known      string
	Transcript []Message
	Took       time.Duration
}

// A Message is a message of an exchange.
type Message struct {
	// From is client or server.
	From string
	Text string
	// Altered means that the message has the fault of the case.
	Altered bool
}

// Failed reports whether the result is held against the peer.
func (r *Result) Failed() bool { return r.Verdict == Fail && r.Known == "" }

// newResult returns the result of a vector, still without a verdict.
func newResult(v *fixtures.Vector) Result {
	mechanism := v.Login.ServerMechanism
	return Result{
		Name: v.Name, Battery: v.Battery, Rule: v.Rule, Section: v.Section, About: v.About, Source: v.Source,
		Mechanism: mechanism,
	}
}

func (r Result) skip(reason string) Result {
	r.Verdict, r.Reason = Skip, reason
	return r
}

// A Summary is what a run found out about a peer as a whole.
type Summary struct {
	Role Role
	URL  string
	// Peer is the product as announced.
	Peer string
	// Offered are the mechanisms that a server offers or a client chose.
	Offered []string
	// TLS is the version of TLS, or "" without TLS.
	TLS   string
	Start time.Time
	Took  time.Duration
	// Unused are lines of the file of accepted deviations from which no result deviated.
	Unused []string
}

// Totals counts results by verdict. Accepted deviations count with their verdict.
func Totals(all []Result) map[Verdict]int {
	totals := map[Verdict]int{Pass: 0, Fail: 0, NonStrict: 0, Info: 0, Skip: 0}
	for _, r := range all {
		totals[r.Verdict]++
	}
	return totals
}
