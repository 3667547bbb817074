package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sallyport/sallyport/bench"
)

// A campaign runs groups one after another, and keeps what is measured.
type campaign struct {
	raw      io.Writer // gets each sample at once
	progress *progress
	results  results
	keep     func(name string) bool // whose single times somebody will ask for
}

// run goes on with the next group when one fails, and ends at a turn's end when
// the context does. What is in results by then is good.
func (c *campaign) run(ctx context.Context, groups []bench.Group) (err error) {
	for _, g := range groups {
		if ctx.Err() == nil {
			err = errors.Join(err, c.group(ctx, g))
		}
	}
	c.progress.clear()
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

var errInterrupted = errors.New("interrupted")

func (c *campaign) group(ctx context.Context, g bench.Group) error {
	c.progress.start(g)
	turns := 0
	err := withSetup(c.progress, func(t bench.T) error {
		return bench.Interleave(t, g, func(round int, s sample) error {
			turns++
			c.progress.turn(g, round)
			return errors.Join(c.record(round, s), ctx.Err())
		})
	})
	if err == nil || ctx.Err() != nil {
		return nil
	}
	c.progress.skip(g, turns)
	err = fmt.Errorf("%s: %w", g.Name, err)
	fmt.Fprintln(c.progress, err)
	return err
}

func (c *campaign) record(round int, s sample) error {
	if _, err := s.WriteTo(c.raw); err != nil {
		return err
	}
	if !c.keep(s.Name) {
		s.Steps = nil // so many that the collector would hardly come by
	}
	c.results.add(round, s)
	return nil
}
