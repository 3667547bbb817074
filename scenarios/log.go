package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/scenarios/testserver"
)

func logMember() *member {
	return &member{
		summary: "the interaction log of the server in the process",
		owns:    true,
		verbs: []verb{
			{name: "has", args: "FIELD=VALUE...", least: 1, most: many, check: true, run: withHost(doLogHas), summary: "wait for a record with all these fields"},
			{name: "counts", args: "N FIELD=VALUE...", least: 2, most: many, check: true, run: withHost(doLogCounts), summary: "wait until exactly N records have all these fields"},
			{name: "order", args: "EVENT...", least: 1, most: many, check: true, run: withHost(doLogOrder), summary: "wait until records of these events are there in this order, among others"},
			{name: "mentions", args: "TEXT", least: 1, most: 1, check: true, run: withHost(doLogMentions), summary: "wait until the text is anywhere in the log"},
			{name: "verify", run: plainly(func(h *host) error { return h.Log.Verify() }), summary: "the chain of hashes is intact"},
		},
	}
}

// rawRecords returns the lines of a log.
func rawRecords(l *testserver.Log) (records []json.RawMessage) {
	for line := range strings.Lines(l.String()) {
		records = append(records, json.RawMessage(strings.TrimSuffix(line, "\n")))
	}
	return records
}

// fits returns how many of the wanted fields a record has.
func fits(r testserver.Record, want options) (n int) {
	for field, value := range want {
		if got, ok := r[field]; ok && field != "chain" && written(got) == value {
			n++
		}
	}
	return n
}

// written returns the value of a field in the form of a scenario.
func written(value any) string {
	if f, ok := value.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}

// fields reads FIELD=VALUE words.
func fields(words []string) (options, error) {
	want := options{}
	for _, word := range words {
		field, value, ok := strings.Cut(word, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not FIELD=VALUE", word)
		}
		want[field] = value
	}
	return want, nil
}

// maxClosest bounds how many records a failure shows.
const maxClosest = 3

func doLogHas(ctx context.Context, c *call, h *host) error {
	want, err := fields(c.args)
	if err != nil {
		return err
	}
	var closest []string
	err = c.stage.until(ctx, c.negated, func() (bool, error) {
		best := 0
		for _, r := range h.Log.Records() {
			n := fits(r, want)
			if n == len(want) {
				return true, nil
			}
			if n > best {
				best, closest = n, nil
			}
			if n == best && n > 0 {
				line, _ := json.Marshal(r) // it was JSON
				closest = append(closest, string(line))
			}
		}
		return false, nil
	})
	if err != nil && len(closest) > 0 {
		shown := closest[max(0, len(closest)-maxClosest):]
		err = fmt.Errorf("no record has %s; the closest:\n  %s\n%w", strings.Join(c.args, " "), strings.Join(shown, "\n  "), err)
	}
	return err
}

func doLogCounts(ctx context.Context, c *call, h *host) error {
	n, err := strconv.Atoi(c.args[0])
	if err != nil {
		return fmt.Errorf("%q is no number", c.args[0])
	}
	want, err := fields(c.args[1:])
	if err != nil {
		return err
	}
	found := 0
	err = c.stage.until(ctx, c.negated, func() (bool, error) {
		found = 0
		for _, r := range h.Log.Records() {
			if fits(r, want) == len(want) {
				found++
			}
		}
		if found > n {
			return false, errors.New("there are more")
		}
		return found == n, nil
	})
	if err != nil {
		err = fmt.Errorf("expected %d records with %s, found %d: %w", n, strings.Join(c.args[1:], " "), found, err)
	}
	return err
}

func doLogOrder(ctx context.Context, c *call, h *host) error {
	var events []string
	var found int
	err := c.stage.until(ctx, c.negated, func() (bool, error) {
		events, found = h.Log.Events(""), 0
		for _, event := range events {
			if found < len(c.args) && event == c.args[found] {
				found++
			}
		}
		return found == len(c.args), nil
	})
	if err != nil {
		err = fmt.Errorf("after %d of %q the log has no %s; it has %s: %w", found, c.args, c.args[min(found, len(c.args)-1)], strings.Join(events, " "), err)
	}
	return err
}

func doLogMentions(ctx context.Context, c *call, h *host) error {
	return c.stage.until(ctx, c.negated, func() (bool, error) {
		return strings.Contains(h.Log.String(), c.args[0]), nil
	})
}
