package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/sallyport/sallyport/bench"
)

// timelines prints all there are.
func timelines(ctx context.Context, rounds int, stdout, stderr io.Writer) error {
	return withSetup(stderr, func(t bench.T) error {
		fmt.Fprintf(stderr, "%d rounds, about %v ...\n", rounds, time.Duration(rounds)*600*time.Millisecond)
		all, err := bench.Timelines(ctx, t, rounds)
		if ctx.Err() != nil {
			err = errInterrupted
		}
		for _, l := range all {
			err = errors.Join(err, printTimeline(stdout, l))
		}
		return err
	})
}

func printTimeline(w io.Writer, l *bench.Timeline) error {
	fmt.Fprintf(w, "\n%s, the median of %d steps\n", l.Name, l.Steps)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	var last time.Duration
	for _, m := range l.Moments() {
		fmt.Fprintf(table, "%.1f µs\t+%.1f\t\t%s\n", m.At.Seconds()*1e6, (m.At-last).Seconds()*1e6, m.What)
		last = m.At
	}
	return table.Flush()
}
