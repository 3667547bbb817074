package scenarios

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"
)

// suiteOf has a scenario for each script, named 0, 1, ...
func suiteOf(t *testing.T, scripts ...string) *Suite {
	t.Helper()
	fsys := fstest.MapFS{}
	for i, script := range scripts {
		fsys[fmt.Sprintf("%d.txtar", i)] = &fstest.MapFile{Data: []byte("# Numbered.\n" + script + "\n")}
	}
	all, err := Load(fsys)
	noError(t, err)
	slices.SortStableFunc(all, func(a, b *Scenario) int { return len(a.Name) - len(b.Name) }) // 10 after 9
	return &Suite{Scenarios: all}
}

func outcomes(ctx context.Context, s *Suite) (all []string) {
	for r := range s.Run(ctx) {
		all = append(all, r.Name()+" "+string(r.Status)+" "+r.Reason)
	}
	return all
}

func TestSuiteRunsInOrder(t *testing.T) {
	t.Parallel()
	s := suiteOf(t, "alice notices never", "echo fast", "matrix mechanism=plus,plain\nstop", "skip reason", "stdout wrong")
	s.Target = &Target{Timeout: 100 * time.Millisecond}
	one := []string{"0 failed ", "1 passed ", "2 [mechanism=plus] passed ", "2 [mechanism=plain] passed ", "3 skipped reason", "4 failed "}
	for _, parallel := range []int{0, 1, 3, 16} {
		s.Parallel, s.Repeat = parallel, 2
		if diff := cmp.Diff(append(one, one...), outcomes(t.Context(), s)); diff != "" {
			t.Errorf("parallel %d: %s", parallel, diff)
		}
	}
}

func TestSuiteRunsOnly(t *testing.T) {
	t.Parallel()
	s := suiteOf(t, "stop", "matrix mechanism=plus,plain\nstop")
	for only, want := range map[string]int{`^0$`: 1, `^1 \[mechanism=plain\]$`: 1, `1`: 2, ``: 3, `x`: 0} {
		s.Only = regexp.MustCompile(only)
		if got := outcomes(t.Context(), s); len(got) != want {
			t.Errorf("%q: got %q, want %d", only, got, want)
		}
	}
}

// The one that never ends by itself shows that the others run beside it.
func TestSuiteRunsInParallel(t *testing.T) {
	t.Parallel()
	s := suiteOf(t, "alice notices never", "stop")
	s.Parallel = 2
	ctx, cancel := context.WithCancel(t.Context())
	results := s.start(ctx)
	first, second := <-results, <-results
	if r := <-second; r.Status != Passed || len(first) != 0 {
		t.Errorf("got %s %v, want it passed before the first has ended", r.Status, r.Err)
	}
	cancel()
	if r := <-first; r.Status != Failed {
		t.Errorf("got %s, want it failed because it was ended", r.Status)
	}
	for range results {
		t.Error("there are more results than runs")
	}
}

func TestSuiteEndsEarly(t *testing.T) {
	t.Parallel()
	s := suiteOf(t, "stop", "alice notices never", "stop")
	s.Target = &Target{Timeout: time.Hour}
	s.Parallel = 2
	for r := range s.Run(t.Context()) {
		if r.Name() != "0" {
			t.Errorf("got %s after the loop was left", r.Name())
		}
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for r := range s.Run(ctx) {
		if r.Name() != "0" {
			t.Errorf("got %s after the context had ended", r.Name())
		}
		cancel()
	}
	if got := outcomes(ctx, s); len(got) != 0 {
		t.Errorf("got %q of a context that had ended", got)
	}
}

// What runs again and again leaves nothing behind: neither what failed, nor what
// was still in the background. Not in parallel: others would be counted.
func TestSuiteLeaksNothing(t *testing.T) {
	s := suiteOf(t,
		"alice login\nbob login &\nbob notices holder\nalice quit\nwait",
		"alice login\nbob login &\nbob notices holder\nstop",
		"alice connect\nalice sends NOOP\nalice hears 221",
		"mallory stands-between alice\nalice login binding=none\nmallory serves bob\nbob login\nmallory stands-between carol proof flip=0\n! carol login",
	)
	s.Parallel, s.Repeat = 2, 10
	before := gleak.Goroutines()
	if got := len(outcomes(t.Context(), s)); got != 40 {
		t.Errorf("got %d results, want 40", got)
	}
	gomega.NewWithT(t).Eventually(gleak.Goroutines).ShouldNot(gleak.HaveLeaked(before))
}

func TestExplain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		names      []string
		want, lack string
	}{
		{nil, "alice verb [argument...] [&]\n", "hears CODE"},
		{[]string{}, "alice verb [argument...] [&]\n", ""},
		{nil, "[tls:*]\n", ""},
		{[]string{"alice"}, "hears CODE [REGEXP] [-> NAME]: the next", "bob"},
		{[]string{"bob", "server"}, "tls-min is 1.2 or 1.3", "alice"},
	} {
		var b strings.Builder
		if err := Explain(&b, c.names...); err != nil || !strings.Contains(b.String(), c.want) {
			t.Errorf("%q: got %s, %v, want %q", c.names, &b, err, c.want)
		}
		if c.lack != "" && strings.Contains(b.String(), c.lack) {
			t.Errorf("%q: got %s, want no %q", c.names, &b, c.lack)
		}
	}
	if err := Explain(new(strings.Builder), "mallard"); err == nil || !strings.Contains(err.Error(), `no command "mallard"`) {
		t.Errorf("got %v of an unknown command", err)
	}
}

// A dimension of one's own is a variable and a condition.
func TestDimensions(t *testing.T) {
	t.Parallel()
	s := suiteOf(t, "matrix word=a,b tls=1.2,1.3\necho $word$tls\n[word:a] [tls:1.2] stdout ^a1.2$\n[!word:a] stdout ^b\n[word:b] [tls:1.3] stop\n[tls:1.2] stop\nstdout ^b")
	var failed []string
	for r := range s.Run(t.Context()) {
		if r.Status == Failed {
			failed = append(failed, r.Combination.String())
		}
	}
	if diff := cmp.Diff([]string{"word=a tls=1.3"}, failed); diff != "" {
		t.Error(diff)
	}
}
