package probe

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

// A run in which nothing was judged, or not everything, has an error in each report.
func TestOutcome(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for outcome, ctx := range map[string]context.Context{"login-fails": context.Background(), "interrupted": canceled} {
		p, err := New(Config{Role: ServerRole, Target: Target{Dialect: "stdio"}, Command: []string{"sh", "-c", "read x; echo no"}})
		if err != nil {
			t.Fatal(err)
		}
		var all []Result
		for r, err := range p.Run(ctx) {
			if err == nil {
				all = append(all, r)
			}
		}
		inReports(t, &p.Summary, all, `errors="1"`, `type="`+outcome+`"`, `"outcome": "`+outcome+`"`, outcome+": the run ended early")
	}
	inReports(t, &Summary{Err: errors.Join(ErrNotReached)}, nil, `type="not-reached"`, `"outcome": "not-reached"`, `"error": "not reached"`)
	inReports(t, &Summary{}, nil, `errors="0"`, `"outcome": "complete"`)
}

// inReports looks for texts in the reports of all forms, one after another.
func inReports(t *testing.T, s *Summary, all []Result, texts ...string) {
	t.Helper()
	var out bytes.Buffer
	if err := errors.Join(JUnit(&out, s, all), JSON(&out, s, all), HTML(&out, s, all)); err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if !strings.Contains(out.String(), text) {
			t.Errorf("%s: no %s in the reports", s.Outcome(), text)
		}
	}
}
