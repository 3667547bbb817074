package scenarios

import (
	"encoding/json"
	"time"
)

// Status is how a run ended.
type Status string

// The ways a run can end.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped" // it can't run against this target, or in this combination
)

// A Result is all that happened in one run of a scenario.
type Result struct {
	Scenario    *Scenario
	Combination Combination
	Status      Status
	Reason      string // why it was skipped
	Err         error  // why it failed: begins with file and line
	Start       time.Time
	Duration    time.Duration
	Steps       []Step
	Exchanges   []Exchange
	Log         []json.RawMessage // the interaction log's records, of a server in the process
	Transcript  string            // the script engine's own account
}

// A Step is one command.
type Step struct {
	Line       int
	Who        string
	Text       string // the command without its first word
	Background bool
	Want       string        // "!" if it had to fail, "?" if it might
	Start      time.Duration // since the beginning of the run
	Duration   time.Duration
	Err        string // why it failed, also where it had to

	settled, cut bool
	check        bool // it does nothing but wait for what must come
}

// An Exchange is something said, as an arrow between two parties.
type Exchange struct {
	At       time.Duration // since the beginning of the run
	From, To string
	Text     string // what was said, in the clear
	Wire     []byte // what Eve saw of it: the first octets
	Octets   int    // how many there were
}

// Name is that of the scenario and the combination.
func (r *Result) Name() string { return Case{r.Scenario, r.Combination}.Name() }
