package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFaults notices at once that a patch no longer applies. It also demands that
// each promise is broken: specs that nobody saw fail prove nothing.
func TestFaults(t *testing.T) {
	t.Parallel()
	faults, err := readFaults("faults", "")
	if err != nil {
		t.Fatal(err)
	}
	broken, drawn := map[byte]int{}, map[string]bool{}
	for _, f := range faults {
		overlay, err := f.apply("../..", t.TempDir())
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		for from, to := range overlay {
			before, _ := os.ReadFile(from)
			if after, err := os.ReadFile(to); err != nil || bytes.Equal(before, after) {
				t.Errorf("%s changes nothing in %s (%v)", f.name, from, err)
			}
		}
		if _, promise, found := strings.Cut(f.guard, "promise:"); found {
			broken[promise[0]]++
		}
	}
	for promise := byte('1'); promise <= '7'; promise++ {
		if broken[promise] < 3 {
			t.Errorf("%d faults break promise %c, want 3", broken[promise], promise)
		}
	}
	for day := range (len(faults) + 7) / 8 {
		for _, f := range ofDay(faults, day, 8) {
			drawn[f.name] = true
		}
	}
	if len(faults) < 100 || len(drawn) != len(faults) {
		t.Errorf("%d of %d faults have their day", len(drawn), len(faults))
	}
}

func TestTry(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	const source = "package a\n\n// Two is a number.\nfunc Two() int { return 2 }\n\nfunc f() {}\n"
	for name, text := range map[string]string{
		"go.mod": "module m\n", "a.go": source, "a_test.go": `package a
			import ("os"; "testing")
			func TestTwo(t *testing.T) { if Two() != 2 { t.Error() } }
			func TestCrash(t *testing.T) { if Two() != 2 { os.Exit(2) } }
			func TestFails(t *testing.T) { t.Error() }
			func TestSkips(t *testing.T) { t.Skip() }`,
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := engine{root: root}
	const before, broken = "func Two() int { return 2 }", "func Two() int { return 3 }"
	for _, tt := range []struct{ name, test, before, after, by, failure string }{
		{"the comment above it has changed", "TestTwo", before, broken, "FAIL: TestTwo", ""},
		{"only a comment", "TestTwo", before, before + " // two", "", "SURVIVED"},
		{"no such line", "TestTwo", "func Three()", broken, "", "does not apply"},
		{"no Go", "TestTwo", before, "two", "", "does not compile"},
		{"a crash", "TestCrash", before, broken, "", "ended without a failed test: exit status 2"},
		{"a test that always fails", "TestFails", before, broken, "", `without any fault: "FAIL: TestFails" fails`},
		{"a test that is skipped", "TestSkips", before, broken, "", "without any fault: no test ran"},
	} {
		diff := "--- a/a.go\n+++ b/a.go\n@@ -3,3 +3,3 @@\n // Two is 2.\n-" + tt.before + "\n+" + tt.after + "\n \n"
		by, err := e.try(t.Context(), fault{tt.name, "tests: ./ " + tt.test, diff})
		if by != tt.by || (err == nil) != (tt.failure == "") || err != nil && !strings.Contains(err.Error(), tt.failure) {
			t.Errorf("%s: caught by %q, %v", tt.name, by, err)
		}
	}
}

func TestJudgeSpecs(t *testing.T) {
	t.Parallel()
	const failure = "  [TIMEDOUT] A spec timeout occurred\n\nSummarizing 1 Failure:\n  "
	ended := errors.New("exit status 1")
	for _, tt := range []struct {
		out, header  string
		runErr       error
		failed, want string
	}{
		{"\nRan 2 of 9 Specs in 1.0 seconds\n", "", nil, "", ""},
		{"\nRan 0 of 9 Specs in 0.0 seconds\n", "", nil, "", "no test ran"},
		{failure + "[FAIL] Login [It] works [a:b]\n", "", ended, "[FAIL] Login [It] works [a:b]", ""},
		{failure + "[PANICKED!] Login [It] works\n", "", ended, "[PANICKED!] Login [It] works", ""},
		{failure + "[TIMEDOUT] Login [It] works\n", "Specs may hang.", ended, "[TIMEDOUT] Login [It] works", ""},
		{failure + "[TIMEDOUT] Login [It] works\n", "", ended, "", "may hang"},
		{failure + "[INTERRUPTED] Login [It] works\n", "", ended, "", "without a failed test"},
		{failure + "[FAIL] [SynchronizedBeforeSuite] \n", "", ended, "", "without a failed test"},
	} {
		failed, err := fault{"f", "label: a:b", tt.header}.judge(tt.out, tt.runErr)
		if failed != tt.failed || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %q, %v", tt.out, failed, err)
		}
	}
}
