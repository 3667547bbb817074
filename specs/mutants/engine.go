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
	if f.diff != "" {
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
	pkg, args, ran, fails := command(f.guard)
	if out, err := run(ctx, e.root, env, "go", "test", "-c", "-ldflags=-s -w", "-o", binary, pkg); err != nil {
		return "", fmt.Errorf("does not compile: %w\n%s", err, out)
	}
	out, err := run(ctx, filepath.Join(e.root, pkg), env, binary, args...)
	switch m := fails.FindStringSubmatch(out); {
	case m != nil:
		return m[1], nil
	case err != nil:
		return "", fmt.Errorf("ended without a failed test: %w\n%s", err, out[max(0, len(out)-2000):])
	case !ran.MatchString(out):
		return "", fmt.Errorf("no test ran for %s", f.guard)
	}
	return "", nil
}

var (
	specRan    = regexp.MustCompile(`(?m)^Ran [1-9]\d* of `)
	specFailed = regexp.MustCompile(`(?s)\nSummarizing .*?\n *(\[(?:FAIL|PANICKED!|TIMEDOUT)\] [^[\n][^\n]*)`) // no suite node, as [BeforeSuite]
	testRan    = regexp.MustCompile(`(?m)^--- PASS: `)
	testFailed = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)
)

// command returns the package of a guard's tests, the arguments that select
// them, and what they print when one has run, and when one has failed.
func command(guard string) (pkg string, args []string, ran, failed *regexp.Regexp) {
	if filter, ok := strings.CutPrefix(guard, "label: "); ok {
		if !strings.Contains(filter, "area:command") {
			filter = "(" + filter + ") && !area:command" // its specs need the command built, which takes long
		}
		return "./specs", []string{"-ginkgo.label-filter=" + filter, "-ginkgo.fail-fast", "-ginkgo.no-color"}, specRan, specFailed
	}
	pkg, tests, _ := strings.Cut(strings.TrimPrefix(guard, "tests: "), " ")
	return pkg, []string{"-test.v", "-test.failfast", "-test.run=" + tests}, testRan, testFailed
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
