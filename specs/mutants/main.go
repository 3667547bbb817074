// Mutants breaks the product, in one small way after the other, and demands that
// the specs notice. Each fault under faults names the label of the specs that
// must catch it; those are run against the product with that fault alone. A
// fault that survives, no longer applies or does not compile is an error.
//
//	go run ./specs/mutants                  # all, as "make mutants"
//	go run ./specs/mutants -run nonce       # those whose name matches
//	go run ./specs/mutants -sample 8        # eight, others every day
//	go run ./specs/mutants -list
//
// First, as a control, all that guards a fault must pass without it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := mutants(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func mutants(ctx context.Context) error {
	today := int(time.Now().UTC().Unix() / (24 * 60 * 60))
	pattern := flag.String("run", "", "only faults whose name matches this `regexp`")
	sample := flag.Int("sample", 0, "only this `number` of faults, drawn by the day")
	day := flag.Int("day", today, "the `day` to draw for, counted from 1970-01-01 UTC")
	workers := flag.Int("p", 2, "how many faults to try at once")
	list := flag.Bool("list", false, "list the faults and do nothing")
	flag.Parse()
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	faults, err := choose(filepath.Join(root, "specs", "mutants", "faults"), *pattern)
	if err != nil {
		return fmt.Errorf("(run from the module's root) %w", err)
	}
	if *sample > 0 {
		faults = ofDay(faults, *day, *sample)
		fmt.Printf("%d faults drawn for day %d\n", len(faults), *day)
	}
	if *list {
		show(faults)
		return nil
	}
	return (&campaign{root: root, faults: faults}).run(ctx, *workers)
}

func choose(dir, pattern string) ([]fault, error) {
	match, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	faults, err := readFaults(dir)
	if err != nil {
		return nil, err
	}
	faults = slices.DeleteFunc(faults, func(f fault) bool { return !match.MatchString(f.name) })
	if len(faults) == 0 {
		return nil, fmt.Errorf("no fault matches %q", pattern)
	}
	return faults, nil
}

func show(faults []fault) {
	for _, f := range faults {
		fmt.Printf("%-32s %-24s %s\n  %s\n", f.name, f.guard(), f.file, f.why)
	}
}

// campaign tries faults, several at once.
type campaign struct {
	root   string
	faults []fault
	limits map[string]time.Duration // of a run, by what guards the fault
	began  time.Time

	mu     sync.Mutex
	done   int
	failed []string
}

func (c *campaign) run(ctx context.Context, workers int) error {
	if err := c.control(ctx); err != nil {
		return fmt.Errorf("without any fault: %w", err)
	}
	c.began = time.Now()
	next := make(chan fault)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for f := range next {
				began := time.Now()
				by, err := c.try(ctx, f)
				c.report(f, by, time.Since(began), err)
			}
		})
	}
	for _, f := range c.faults {
		if ctx.Err() == nil {
			next <- f
		}
	}
	close(next)
	group.Wait()
	return c.sum(ctx)
}

// try returns what has caught the fault.
func (c *campaign) try(ctx context.Context, f fault) (by string, err error) {
	if c.limits[f.guard()] == 0 {
		return "", errors.New("no spec has this label")
	}
	w, err := newWorkshop(c.root)
	if err != nil {
		return "", err
	}
	defer w.close()
	if err := w.overlay(f); err != nil {
		return "", err
	}
	o, err := w.runGuard(ctx, f, c.limits[f.guard()])
	if err != nil {
		return "", err
	}
	return o.verdict()
}

// runGuard builds and runs what must catch the fault.
func (w *workshop) runGuard(ctx context.Context, f fault, limit time.Duration) (o outcome, err error) {
	if f.label != "" {
		binary, err := w.build(ctx, specsPackage)
		if err != nil {
			return o, err
		}
		return w.specs(ctx, binary, filterOf(f), limit)
	}
	binary, err := w.build(ctx, f.tests)
	if err != nil {
		return o, err
	}
	return w.tests(ctx, binary, f.tests, f.run, limit)
}

// report tells of one fault, and how long the rest will take.
func (c *campaign) report(f fault, by string, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	left := time.Since(c.began) / time.Duration(c.done) * time.Duration(len(c.faults)-c.done)
	verdict := fmt.Sprintf("caught by %q", by)
	if err != nil {
		verdict = fmt.Sprintf("NOT CAUGHT: %v", err)
		c.failed = append(c.failed, f.name)
	}
	fmt.Printf("[%d/%d] %s [%s] %s in %.1f s, %s left\n",
		c.done, len(c.faults), f.name, f.guard(), verdict, took.Seconds(), left.Round(time.Second))
}

func (c *campaign) sum(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	fmt.Printf("%d of %d faults caught in %s\n",
		len(c.faults)-len(c.failed), len(c.faults), time.Since(c.began).Round(time.Second))
	if len(c.failed) == 0 {
		return nil
	}
	slices.Sort(c.failed)
	return fmt.Errorf("%w: %q", errNotCaught, c.failed)
}

var errNotCaught = errors.New("not caught")
