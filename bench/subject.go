package bench

import (
	"time"

	"github.com/sallyport/sallyport/specs/harness"
)

// T is what a subject needs of whoever runs it: a *testing.B is one.
type T = harness.T

// A Group is subjects that are compared with each other.
type Group struct {
	Name     string // as in BenchmarkNAME
	Subjects []Subject
	Block    time.Duration // of one subject's turn in a round; zero: 20 ms
	Rounds   int           // zero: 100
}

// A Subject is one thing that is measured.
type Subject struct {
	Name  string         // key=value, joined with "/"; "of" says which of those compared
	Bytes int64          // above TLS, both ways, of one operation; zero: they don't matter
	Start func(t T) *Rig // sets it up; t's Cleanup takes it down
}

// A Rig is a subject that was set up.
type Rig struct {
	// Step does the operations, and says how long they took: without what had to
	// be done before and after.
	Step func() (time.Duration, error)
	Ops  int // operations in one step; zero: 1
	// Before and After, unless nil, come before and after each turn.
	Before, After func() error
	// Metrics, unless nil, gives what else there is to say of a turn of so many
	// operations, by unit.
	Metrics func(ops int) map[string]float64
}

func (r *Rig) ops() int { return max(r.Ops, 1) }

// Groups are all that there is to measure.
func Groups() []Group {
	return []Group{
		handshakes(), logins(), requests(), pipelines(), handoffs(), sessions(), lobbies(0, 100, 1000),
		scrams(), audits(), parses(),
	}
}
