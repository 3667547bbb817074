package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/types"
)

// What a run may take: some time, and so many times what it takes without a
// fault. A machine that is busy must not make a fault look caught.
const (
	controlTime = 3 * time.Minute
	leastTime   = 15 * time.Second
	timesLonger = 4
	commandTime = 3 * time.Minute // to build the command, before the first spec
)

// filterOf is the label filter for the specs that guard a fault. The command,
// which must be built for its specs, is left out unless it is asked for.
func filterOf(f fault) string {
	if needsCommand(f) {
		return f.label
	}
	return "(" + f.label + ")" + withoutCommand
}

func needsCommand(f fault) bool { return strings.Contains(f.label, "area:command") }

// control runs all that guards a fault on the code as it is. It must pass, and
// what it selects for each fault sets the limits.
func (c *campaign) control(ctx context.Context) error {
	c.limits = map[string]time.Duration{}
	w, err := newWorkshop(c.root)
	if err != nil {
		return err
	}
	defer w.close()
	return errors.Join(c.controlSpecs(ctx, w), c.controlTests(ctx, w))
}

// controlSpecs runs all the specs at once, those of the command apart, and looks
// which are whose.
func (c *campaign) controlSpecs(ctx context.Context, w *workshop) error {
	var filters [2][]string
	for _, f := range c.faults {
		group := 0
		if needsCommand(f) {
			group = 1
		}
		if filter := "(" + filterOf(f) + ")"; f.label != "" && !slices.Contains(filters[group], filter) {
			filters[group] = append(filters[group], filter)
		}
	}
	for _, group := range filters {
		if len(group) == 0 {
			continue
		}
		binary, err := w.build(ctx, specsPackage)
		if err != nil {
			return err
		}
		o, err := w.specs(ctx, binary, strings.Join(group, " || "), controlTime)
		if err != nil {
			return err
		}
		if len(o.failed) > 0 {
			return fmt.Errorf("%q fails", o.failed)
		}
		fmt.Printf("control: %d specs pass without a fault\n", len(o.ran))
		if err := c.apportion(o, group); err != nil {
			return err
		}
	}
	return nil
}

// apportion sets the limits of the faults with these filters by what their specs
// have taken.
func (c *campaign) apportion(o outcome, filters []string) (err error) {
	for _, f := range c.faults {
		if c.limits[f.guard()] > 0 || !slices.Contains(filters, "("+filterOf(f)+")") {
			continue
		}
		filter, bad := types.ParseLabelFilter(filterOf(f))
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", f.name, bad))
			continue
		}
		specs, took := 0, time.Duration(0)
		for _, spec := range o.ran {
			if filter(o.labels[spec]) {
				specs, took = specs+1, took+o.took[spec]
			}
		}
		if specs == 0 {
			continue // try says so
		}
		c.limits[f.guard()] = leastTime + timesLonger*took
		if needsCommand(f) {
			c.limits[f.guard()] += commandTime
		}
	}
	return err
}

// controlTests runs what guards the faults that name tests.
func (c *campaign) controlTests(ctx context.Context, w *workshop) (err error) {
	for _, f := range c.faults {
		if f.tests == "" || c.limits[f.guard()] > 0 {
			continue
		}
		began := time.Now()
		o, runErr := w.runGuard(ctx, f, controlTime)
		switch {
		case runErr != nil:
			err = errors.Join(err, fmt.Errorf("%s: %w", f.guard(), runErr))
		case len(o.failed) > 0:
			err = errors.Join(err, fmt.Errorf("%s: %q fails", f.guard(), o.failed))
		}
		c.limits[f.guard()] = leastTime + timesLonger*time.Since(began)
	}
	return err
}
