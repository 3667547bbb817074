package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// limit bounds a build, and a run. A run that reaches it has not caught the
// fault: specs have limits of their own, which fail those that hang.
const limit = 10 * time.Minute

// engine tests the faults of a module.
type engine struct {
	root     string
	controls sync.Map // a function by guard, which runs its control once
}

// try returns the name of the test that catches the fault.
func (e *engine) try(ctx context.Context, f fault) (by string, err error) {
	control, _ := e.controls.LoadOrStore(f.guard, sync.OnceValues(func() (string, error) {
		return e.test(ctx, fault{guard: f.guard})
	}))
	if by, err = control.(func() (string, error))(); by != "" {
		err = fmt.Errorf("%q fails", by)
	}
	if err != nil {
		return "", fmt.Errorf("without any fault: %w", err)
	}
	by, err = e.test(ctx, f)
	if by == "" && err == nil {
		err = errors.New("SURVIVED: no test fails")
	}
	return by, err
}

// test runs the tests that guard the fault in a module that has it, and returns
// the name of the first one that fails.
func (e *engine) test(ctx context.Context, f fault) (failed string, err error) {
	folder, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	var overlay map[string]string
	if f.text != "" {
		if overlay, err = f.apply(e.root, folder); err != nil {
			return "", err
		}
	}
	list, binary := filepath.Join(folder, "overlay.json"), filepath.Join(folder, "specs.test")
	text, err := json.Marshal(map[string]any{"Replace": overlay})
	if err = errors.Join(err, os.WriteFile(list, text, 0o600)); err != nil {
		return "", err
	}
	// The environment is for the specs as well, which build the command.
	env := append(os.Environ(), "TMPDIR="+folder, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+list))
	pkg, args := f.command()
	module, inModule := e.root, pkg
	if _, err := os.Stat(filepath.Join(e.root, pkg, "go.mod")); err == nil { // tests in a module of their own
		module, inModule = filepath.Join(e.root, pkg), "."
	}
	if out, err := run(ctx, module, env, "go", "test", "-c", "-ldflags=-s -w", "-o", binary, inModule); err != nil {
		return "", fmt.Errorf("does not compile: %w\n%s", err, out)
	}
	return f.judge(run(ctx, filepath.Join(e.root, pkg), env, binary, args...))
}

// command returns the package of the tests that guard the fault, and the arguments that select them.
func (f fault) command() (pkg string, args []string) {
	if filter, ok := strings.CutPrefix(f.guard, "label: "); ok {
		if !strings.Contains(filter, "area:command") {
			filter = "(" + filter + ") && !area:command" // its specs need the command built, which takes long
		}
		return "./specs", []string{"-ginkgo.label-filter=" + filter, "-ginkgo.seed=1", "-ginkgo.fail-fast", "-ginkgo.no-color"}
	}
	pkg, tests, _ := strings.Cut(strings.TrimPrefix(f.guard, "tests: "), " ")
	return pkg, []string{"-test.v", "-test.failfast", "-test.run=" + tests}
}

var (
	specFailed = regexp.MustCompile(`(?s)\nSummarizing .*?\n *(\[(?:FAIL|PANICKED!|TIMEDOUT)\] [^[\n][^\n]*)`) // no suite node, as [BeforeSuite]
	testFailed = regexp.MustCompile(`(?m)^--- (FAIL: \S+)`)
	someRan    = regexp.MustCompile(`(?m)^(Ran [1-9]\d* of |--- PASS: )`)
)

// judge returns the first test that failed in a run, by what the run printed.
func (f fault) judge(out string, runErr error) (failed string, err error) {
	failure := testFailed
	if strings.HasPrefix(f.guard, "label: ") {
		failure = specFailed
	}
	switch m := failure.FindStringSubmatch(out); {
	case m != nil && strings.HasPrefix(m[1], "[TIMEDOUT]") && !strings.Contains(f.text, "may hang"):
		return "", fmt.Errorf("%s: a time-out counts only if the header says \"may hang\"", m[1])
	case m != nil:
		return m[1], nil
	case runErr != nil:
		return "", fmt.Errorf("ended without a failed test: %w\n%s", runErr, out[max(0, len(out)-2000):])
	case !someRan.MatchString(out):
		return "", fmt.Errorf("no test ran for %s", f.guard)
	}
	return "", nil
}

// run runs a program and returns what it prints. At the limit it is asked to
// end, so that specs clean up, and is killed later.
func run(ctx context.Context, folder string, env []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = folder, env, 30*time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	return string(out), errors.Join(err, ctx.Err())
}
