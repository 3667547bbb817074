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
			{name: "has", args: "FIELD=VALUE...", least: 1, most: many, check: true, run: withHost(doLogHas), summary: "a record has all these fields; it may be still to come"},
			{name: "counts", args: "N FIELD=VALUE...", least: 2, most: many, check: true, run: withHost(doLogCounts), summary: "exactly N records have all these fields; they may be still to come"},
			{name: "order", args: "EVENT...", least: 1, most: many, check: true, run: withHost(doLogOrder), summary: "records of these events come in this order, among others"},
			{name: "mentions", args: "TEXT", least: 1, most: 1, check: true, run: withHost(doLogMentions), summary: "the text is in the log, anywhere"},
			{name: "verify", run: withHost(doLogVerify), summary: "the chain holds"},
		},
	}
}

// record is one line of the log.
type record map[string]any

func recordsOf(l *testserver.Log) (all []record, err error) {
	for _, raw := range rawRecords(l) {
		r := record{}
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("a line of the log is no JSON: %q", raw)
		}
		all = append(all, r)
	}
	return all, nil
}

// rawRecords returns the lines of a log.
func rawRecords(l *testserver.Log) (records []json.RawMessage) {
	for line := range strings.Lines(l.String()) {
		records = append(records, json.RawMessage(strings.TrimSuffix(line, "\n")))
	}
	return records
}

// fits returns how many of the wanted fields a record has.
func (r record) fits(want options) (n int) {
	for field, value := range want {
		if got, ok := r[field]; ok && field != "chain" && written(got) == value {
			n++
		}
	}
	return n
}

// written returns the value of a field as a scenario writes it.
func written(value any) string {
	if f, ok := value.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}

// String returns the record as JSON.
func (r record) String() string {
	text, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(text)
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
		records, err := recordsOf(h.Log)
		best := 0
		for _, r := range records {
			n := r.fits(want)
			if n == len(want) {
				return true, nil
			}
			if n > best {
				best, closest = n, nil
			}
			if n == best && n > 0 {
				closest = append(closest, r.String())
			}
		}
		return false, err
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
		records, err := recordsOf(h.Log)
		found = 0
		for _, r := range records {
			if r.fits(want) == len(want) {
				found++
			}
		}
		if found > n && err == nil {
			err = errors.New("there are more")
		}
		return found == n, err
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
		records, err := recordsOf(h.Log)
		events, found = nil, 0
		for _, r := range records {
			event := written(r["event"])
			events = append(events, event)
			if found < len(c.args) && event == c.args[found] {
				found++
			}
		}
		return found == len(c.args), err
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

func doLogVerify(_ context.Context, _ *call, h *host) error { return h.Log.Verify() }
