package probe

import "context"

// A check is a case that is no vector.
type check struct {
	Result
	run func(context.Context, Result) Result
}

func (p *Prober) checks() []check { return nil }
