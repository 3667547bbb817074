package probe

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport/fixtures"
)

// Verdict is the result of one case.
type Verdict string

// The verdicts. Only Fail counts against the peer: it breaks a MUST. NonStrict breaks a SHOULD or is more lenient than
// the grammar, Info differs from a rule of this project only, and Skip was not tested.
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
	Name    string `json:"name"`
	Battery int    `json:"battery"`
	// Name, Battery, Rule, Section, About and Source are those of [fixtures.Vector].
	Rule    string `json:"rule"`
	Section string `json:"section"`
	// Demand is the rule in a sentence, and Expected says what the peer must do.
	Demand    string  `json:"demand"`
	About     string  `json:"about"`
	Expected  string  `json:"expected"`
	Source    string  `json:"source,omitempty"`
	Mechanism string  `json:"mechanism"`
	Verdict   Verdict `json:"verdict"`
	// Stage is the last message that the peer got before it ended the login, or done.
	Stage string `json:"stage"`
	// Words are the peer's own words at the end of the login. They may be empty.
	Words string `json:"words"`
	// Reason says in a sentence why the verdict is this one.
	Reason string `json:"reason"`
	// Known is the reason in the file of accepted deviations. Empty means that the deviation is not accepted.
	Known      string        `json:"known,omitempty"`
	Transcript []Message     `json:"transcript"`
	Took       time.Duration `json:"-"`
}

// A Message is a message of an exchange.
type Message struct {
	// From is client or server.
	From string `json:"from"`
	Text string `json:"text"`
	// Altered means that the message has the fault of the case.
	Altered bool `json:"altered,omitempty"`
	// Own is the altered message without the fault. It is empty if it is not known.
	Own string `json:"own,omitempty"`
}

// Parts splits an altered message: the unaltered front, the altered part, and the unaltered back.
func (m Message) Parts() [3]string {
	if m.Own == "" {
		return [3]string{1: m.Text}
	}
	text, own := m.Text, m.Own
	bare, _, _ := strings.Cut(text, ",p=")
	if ownBare, _, _ := strings.Cut(own, ",p="); bare != text && bare != ownBare {
		text, own = bare, ownBare // the proof depends on the part in front of it
	}
	front, back, shorter := 0, 0, min(len(text), len(own))
	for front < shorter && text[front] == own[front] {
		front++
	}
	for back < shorter-front && text[len(text)-1-back] == own[len(own)-1-back] {
		back++
	}
	back = len(text) - back
	return [3]string{text[:front], text[front:back], m.Text[back:]}
}

// Failed reports whether the result counts against the peer.
func (r *Result) Failed() bool { return r.Verdict == Fail && r.Known == "" }

// Special returns the heading of About for a reader: "Fault in" with the altered message, "Fault" or "Case".
func (r *Result) Special() string {
	if r.Expected == succeeds || strings.HasPrefix(r.Name, "checks/") {
		return "Case"
	}
	for i, m := range r.Transcript {
		if m.Altered {
			return "Fault in " + [...]string{"client-first", "server-first", "client-final", "server-final"}[min(i, 3)]
		}
	}
	return "Fault"
}

// newResult returns the result of a vector, without a verdict.
func newResult(v *fixtures.Vector) Result {
	r := Result{
		Name: v.Name, Battery: v.Battery, Rule: v.Rule, Section: v.Section, About: v.About, Source: v.Source,
		Mechanism: v.Login.ServerMechanism, Expected: expected(v),
	}
	r.Demand = demand(&r)
	return r
}

// Unanswered counts the cases in which the peer did not answer in time instead of refusing.
func Unanswered(all []Result) (n int) {
	for _, r := range all {
		if r.Reason == unanswered {
			n++
		}
	}
	return n
}

func (r Result) skip(reason string) Result {
	r.Verdict, r.Reason = Skip, reason
	return r
}

// A Summary has the findings of a run about the peer as a whole.
type Summary struct {
	Role Role
	URL  string
	// Level is that of [Config]: which rules were tested.
	Level string
	// Peer is the product as a server announces it, or the command under test.
	Peer string
	// Offered are the mechanisms that a server offers or a client chose.
	Offered []string
	// TLS is the version of TLS, or "" without TLS.
	TLS string
	// Command returns the command line that repeats the cases whose names match a regular expression. Nil means none.
	Command func(pattern string) string
	Start   time.Time
	Took    time.Duration
	// Unused are the names of accepted deviations that did not occur, although their cases were played.
	Unused []string
	// Err is the reason why the run ended before its last case. Nil means that all cases were played.
	Err error
}

// Outcome returns in one word how the run ended: complete, not-reached, login-fails (the login without a fault fails,
// see [ErrControl]), not-allowed (see [NotAllowed]) or interrupted.
func (s *Summary) Outcome() string {
	switch {
	case s.Err == nil:
		return "complete"
	case errors.Is(s.Err, ErrNotReached):
		return "not-reached"
	case errors.Is(s.Err, ErrControl):
		return "login-fails"
	case NotAllowed(s.Err):
		return "not-allowed"
	}
	return "interrupted"
}

// Again returns the command line that repeats the cases whose names match a regular expression, or "".
func (s *Summary) Again(pattern string) string {
	if s.Command == nil {
		return "the same command with --level all --run '" + pattern + "'"
	}
	return s.Command(pattern)
}

// Totals counts results by verdict. Accepted deviations count with their verdict.
func Totals(all []Result) map[Verdict]int {
	totals := map[Verdict]int{Pass: 0, Fail: 0, NonStrict: 0, Info: 0, Skip: 0}
	for _, r := range all {
		totals[r.Verdict]++
	}
	return totals
}

// A Level has the numbers of tested and of deviating results of one rule.
type Level struct {
	Rule     string `json:"rule"`
	Tested   int    `json:"tested"`
	Deviated int    `json:"deviated"`
}

func (l Level) String() string {
	return fmt.Sprintf("of %d logins that test %s, %d deviate", l.Tested, levels[l.Rule], l.Deviated)
}

// Levels counts results by rule, in the order of their force. It leaves out rules without a tested result.
func Levels(all []Result) (levels []Level) {
	for _, rule := range []string{"must", "should", "grammar", "limit", "policy"} {
		level := Level{Rule: rule}
		for _, r := range all {
			if r.Rule != rule || r.Verdict == Skip {
				continue
			}
			if level.Tested++; r.Verdict != Pass {
				level.Deviated++
			}
		}
		if level.Tested > 0 {
			levels = append(levels, level)
		}
	}
	return levels
}
