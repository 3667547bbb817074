package scenarios

import (
	"context"
	"encoding/json"
	"iter"
	"regexp"
	"time"
)

// A Suite is a set of scenarios, and how to run them.
type Suite struct {
	Scenarios []*Scenario
	// Only matches the names of the runs to make (see [Result.Name]). Nil means all.
	Only *regexp.Regexp
	// Target is the server that they run against. Nil means a server in the process for each.
	Target *Target
	// Parallel is the number of runs at once. Zero means one. More than one needs servers in the process,
	// because a server elsewhere has one seat.
	Parallel int
	// Repeat is the number of times that each case runs. Zero means one.
	Repeat int
}

// A Case is a scenario in one of its combinations.
type Case struct {
	Scenario    *Scenario
	Combination Combination
}

// Name returns the names of the scenario and the combination.
func (c Case) Name() string {
	if len(c.Combination) == 0 {
		return c.Scenario.Name
	}
	return c.Scenario.Name + " [" + c.Combination.String() + "]"
}

// Cases returns the cases that run, in order, without the repetitions.
func (s *Suite) Cases() (all []Case) {
	for _, scenario := range s.Scenarios {
		for _, choice := range scenario.Matrix {
			c := Case{scenario, choice}
			if s.Only == nil || s.Only.MatchString(c.Name()) {
				all = append(all, c)
			}
		}
	}
	return all
}

// Run runs all cases and yields each result as soon as the results of the cases before it. If the context or
// the loop over the results ends, Run cancels the cases that still run, waits for them, and yields no result
// of them.
func (s *Suite) Run(ctx context.Context) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		ctx, cancel := context.WithCancel(ctx)
		results := s.start(ctx)
		defer func() {
			cancel()
			for range results { // until nothing runs any more
			}
		}()
		for result := range results {
			r := <-result
			if ctx.Err() != nil || !yield(r) {
				return
			}
		}
	}
}

// ahead bounds the results per place that wait for the slowest run, so that they don't fill the memory.
const ahead = 4

// start runs the cases in the background. It sends a channel for each result, in order, and then closes the
// channel of these.
func (s *Suite) start(ctx context.Context) <-chan chan Result {
	places := max(1, s.Parallel)
	target := s.Target
	if target == nil {
		target = &Target{}
	}
	results, free := make(chan chan Result, ahead*places), make(chan struct{}, places)
	go func() {
		defer close(results)
		defer func() { // wait for the last runs
			for range places {
				free <- struct{}{}
			}
		}()
		cases := s.Cases()
		for i := range len(cases) * max(1, s.Repeat) {
			c, result := cases[i%len(cases)], make(chan Result, 1)
			select {
			case <-ctx.Done():
				return
			case free <- struct{}{}:
			}
			go func() {
				defer func() { <-free }()
				result <- Run(ctx, c.Scenario, c.Combination, target)
			}()
			results <- result
		}
	}()
	return results
}

// Status is how a run ended.
type Status string

// The ways a run can end.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped" // the scenario can't run against this target, or in this combination
)

// A Result is the account of one run of a scenario.
type Result struct {
	Scenario    *Scenario
	Combination Combination
	Status      Status
	// Reason is why a run was skipped.
	Reason string
	// Err is why a run failed. Its text begins with file and line.
	Err       error
	Start     time.Time
	Duration  time.Duration
	Steps     []Step
	Exchanges []Exchange
	// Log has the records of the interaction log of a server in the process.
	Log []json.RawMessage
	// Transcript is the account of the script engine.
	Transcript string
}

// Name returns the names of the scenario and the combination.
func (r *Result) Name() string { return Case{r.Scenario, r.Combination}.Name() }

// A Step is one command.
type Step struct {
	Line int
	Who  string
	// Text is the command without its first word.
	Text       string
	Background bool
	// Want is "!" for a step that had to fail and "?" for one that might.
	Want string
	// Start counts from the beginning of the run.
	Start    time.Duration
	Duration time.Duration
	// Err is why the step failed, also if it had to fail.
	Err string

	// settled means that the script has waited for the step, cut that the end of the script ended it.
	settled, cut bool
	// check means that the step only waits for something.
	check bool
}

// An Exchange is a message from one member of the cast, or the server, to another.
type Exchange struct {
	// At counts from the beginning of the run.
	At       time.Duration
	From, To string
	// Text is the message in the clear.
	Text string
	// Wire has the first bytes of the message on the network.
	Wire []byte
	// Size is the number of bytes of the message on the network.
	Size int
}
