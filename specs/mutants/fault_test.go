package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFaultsApply says at once, without compiling any, which faults a change of
// the product has made out of date.
func TestFaultsApply(t *testing.T) {
	t.Parallel()
	faults, err := readFaults("faults")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		source, err := os.ReadFile(filepath.Join("..", "..", f.file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.apply(string(source)); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
}

// TestEveryPromiseIsBroken: a promise whose specs have never been seen to fail
// is not proved.
func TestEveryPromiseIsBroken(t *testing.T) {
	t.Parallel()
	faults, err := readFaults("faults")
	if err != nil {
		t.Fatal(err)
	}
	if len(faults) < 40 {
		t.Errorf("only %d faults", len(faults))
	}
	for _, promise := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		n := 0
		for _, f := range faults {
			if strings.Contains(f.label, "promise:"+promise) {
				n++
			}
		}
		if n < 3 {
			t.Errorf("promise %s is broken by %d faults, want 3 at least", promise, n)
		}
	}
}

const sound = "# A wrong answer\n# is given.\nfile: a.go\nlabel: promise:1\n\n if x {\n-\treturn 1\n+\treturn 2\n"

func TestApply(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, fault, source, want, failure string }{
		{"once", sound, "if x {\n\treturn 1\n}\n", "if x {\n\treturn 2\n}\n", ""},
		{"nowhere", sound, "if y {\n\treturn 1\n}\n", "", "exactly once"},
		{"twice", sound, "if x {\n\treturn 1\nif x {\n\treturn 1\n}\n", "", "exactly once"},
		{"within a line only", sound, "else if x {\n\treturn 1\n}\n", "", "exactly once"},
		{"two hunks", sound + "\n-y\n", "if x {\n\treturn 1\n}\ny\n", "if x {\n\treturn 2\n}\n", ""},
	} {
		f, err := parseFault("f", tt.fault)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.apply(tt.source)
		if got != tt.want || (err == nil) != (tt.failure == "") || err != nil && !strings.Contains(err.Error(), tt.failure) {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
}

func TestParseFault(t *testing.T) {
	t.Parallel()
	f, err := parseFault("f", sound)
	if err != nil || f.why != "A wrong answer is given." || f.file != "a.go" || f.guard() != "promise:1" || len(f.hunks) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
	for _, text := range []string{
		"",
		"# why\nfile: a.go\n\n-x\n",            // no guard
		"# why\nlabel: promise:1\n\n-x\n",      // no file
		"file: a.go\nlabel: promise:1\n\n-x\n", // no why
		"# why\nfile: a.go\nlabel: x\ntests: ./a T\n\n-x\n",           // two guards
		"# why\nfile: a.go\ntests: ./a\n\n-x\n",                       // which tests?
		"# why\nfile: a.go\nlabel: promise:1\n",                       // no hunk
		"# why\nfile: a.go\nlabel: promise:1\n\n x\n",                 // no change
		"# why\nfile: a.go\nlabel: promise:1\n\n+x\n",                 // where?
		"# why\nfile: a.go\nlabel: promise:1\n\n-x\nwithout a sign\n", // no hunk
		"# why\nfile: a.go\nlabel: promise:1\nnext line\n\n-x\n",
	} {
		if _, err := parseFault("f", text); err == nil {
			t.Errorf("%q is taken for a fault", text)
		}
	}
}

func TestEveryFaultHasItsDay(t *testing.T) {
	t.Parallel()
	faults, err := readFaults("faults")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	days := (len(faults) + 7) / 8
	for day := 20000; day < 20000+days; day++ {
		drawn := ofDay(faults, day, 8)
		if len(drawn) != 8 {
			t.Fatalf("%d drawn", len(drawn))
		}
		for _, f := range drawn {
			seen[f.name] = true
		}
	}
	if len(seen) < len(faults) {
		t.Errorf("%d of %d drawn in %d days", len(seen), len(faults), days)
	}
}

func TestReadReport(t *testing.T) {
	t.Parallel()
	spec := func(kind, state string) string {
		return `{"LeafNodeType":"` + kind + `","LeafNodeText":"is right","State":"` + state + `","Failure":{"Message":"no"}}`
	}
	for _, tt := range []struct{ name, specs, by, failure string }{
		{"caught", spec("It", "passed") + "," + spec("It", "failed"), "is right", ""},
		{"caught by its panic", spec("It", "panicked"), "is right", ""},
		{"caught by the end of its time", spec("It", "timedout"), "is right (its time was over)", ""},
		{"survived", spec("It", "passed") + "," + spec("It", "skipped"), "", "survived: 1 ran"},
		{"nothing selected", spec("It", "skipped"), "", "nothing is selected"},
		{"not begun", spec("BeforeSuite", "failed") + "," + spec("It", "skipped"), "", "BeforeSuite has failed: no"},
		{"not ended", spec("It", "passed") + "," + spec("ReportAfterSuite", "failed"), "", "ReportAfterSuite has failed: no"},
	} {
		o, err := readReport([]byte(`[{"SpecReports":[` + tt.specs + `]}]`))
		by := ""
		if err == nil {
			by, err = o.verdict()
		}
		if by != tt.by || (err == nil) != (tt.failure == "") || err != nil && !strings.Contains(err.Error(), tt.failure) {
			t.Errorf("%s: %q, %v", tt.name, by, err)
		}
	}
}
