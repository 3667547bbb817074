package scenarios

import (
	"context"
	"iter"
	"regexp"
)

// A Suite is what runs of scenarios there are, and how they run.
type Suite struct {
	Scenarios []*Scenario
	Only      *regexp.Regexp // matches the names of the runs to make (see [Result.Name]); nil: all
	Target    *Target        // nil: a server in the process for each
	// Parallel is how many run at once, 0 one. More than one needs servers in the
	// process: elsewhere there is one seat.
	Parallel int
	Repeat   int // how many times all of them run; 0: once
}

// A Case is a scenario in one of its combinations.
type Case struct {
	Scenario    *Scenario
	Combination Combination
}

// Name is that of the scenario and the combination.
func (c Case) Name() string {
	if len(c.Combination) == 0 {
		return c.Scenario.Name
	}
	return c.Scenario.Name + " [" + c.Combination.String() + "]"
}

// Cases returns what runs, in order, without the repetitions.
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

// Run acts out all cases and yields their results, in the order of the cases, as
// they come. When the context ends, or the loop that takes them, it ends what
// runs, and returns when that has ended; a run that was cut so has no result.
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

// ahead is for how many runs per place others may be ahead of the slowest one:
// results wait for their turn, and are not to fill the memory.
const ahead = 4

// start runs the cases in the background. The channel has a channel for each
// result, in order, and is closed behind the last.
func (s *Suite) start(ctx context.Context) <-chan chan Result {
	places := max(1, s.Parallel)
	target := s.Target
	if target == nil {
		target = &Target{}
	}
	results, free := make(chan chan Result, ahead*places), make(chan struct{}, places)
	go func() {
		defer close(results)
		defer func() { // the last ones have ended
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
