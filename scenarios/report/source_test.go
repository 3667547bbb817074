package report_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/scenarios"
)

// broken is a run that failed at line 3.
func broken(lines ...string) scenarios.Result {
	return example(func(r *scenarios.Result) {
		r.Status, r.Err = scenarios.Failed, errors.New("a/b.txtar:3: alice hears 250: heard 550")
		r.Scenario = &scenarios.Scenario{Name: "a/b", File: "a/b.txtar", Lines: lines}
		r.Steps = []scenarios.Step{{Line: 2, Who: "alice", Text: "login"}, {Line: 3, Who: "alice", Text: "hears 250", Err: "heard 550"}}
	})
}

func TestSourceOfAFailure(t *testing.T) {
	root := show(t, broken("# It shows.", "alice login", "alice hears 250", "", "# more", "alice quit", "[own] ! log verify &"))
	expect(t, "lines", find(root, "div", "source"), []string{strings.Join([]string{
		"1# It shows.", "2alice login", "3alice hears 250 failed here", "4", "5# more",
		"6alice quit not reached from here on", "7[own] ! log verify &",
	}, "\n")})
	expect(t, "fault", find(root, "p", "fault"), []string{"3alice hears 250 failed here"})
	expect(t, "unreached lines", len(find(root, "p", "unreached")), 2)
	expect(t, "unreached steps", find(root, "tr", "unreached"), []string{"6alicequitnot reached", "7logmust fail verify in the backgroundnot reached"})
}

func TestSourceIsBounded(t *testing.T) {
	lines := strings.Split(strings.Repeat("alice quit\n", 1000), "\n")
	r := broken(lines...)
	r.Err = errors.New("a/b.txtar:500: no")
	root := show(t, r)
	expect(t, "left out", find(root, "p", "left"), []string{"469 lines above", "481 lines below"})
	expect(t, "shown", len(find(root, "p", "unreached")), 20)
}

func TestSourceOfAnErrorWithoutALine(t *testing.T) {
	for _, text := range []string{"no server", "a/b.txtar:x: no", "a/b.txtar:0: no", "a/b.txtar:9: no"} {
		r := broken("# It shows.", "alice login", "alice hears 250")
		r.Err = errors.New(text)
		expect(t, text, len(find(show(t, r), "div", "source")), 0)
	}
	passed := broken("# It shows.", "alice login", "alice hears 250", "alice quit")
	passed.Status, passed.Err = scenarios.Passed, nil
	expect(t, "what passed", len(find(show(t, passed), "tr", "unreached")), 0)
}

func TestDurationsAsPeopleSayThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ms", 40 * time.Microsecond: "0 ms", 400 * time.Microsecond: "0.4 ms", 9 * time.Millisecond: "9 ms",
		12345 * time.Microsecond: "12 ms", 999600 * time.Microsecond: "1 s", 1500 * time.Millisecond: "1.5 s",
		59900 * time.Millisecond: "1 min", 60 * time.Second: "1 min", 200 * time.Second: "3 min 20 s",
		3600 * time.Second: "1 h", 3900 * time.Second: "1 h 5 min",
	} {
		root := show(t, example(func(r *scenarios.Result) { r.Duration = d }))
		expect(t, fmt.Sprint(d), find(root, "span", "took"), []string{want})
	}
}
