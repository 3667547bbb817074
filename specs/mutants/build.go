package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/types"
)

const (
	specsPackage = "./specs"
	buildTimeout = 5 * time.Minute // a first build may have to compile everything
	// cleanupTime is for what comes after the time of a run is over: the cleanup of
	// the spec that ran, and the report.
	cleanupTime = 30 * time.Second
	// withoutCommand leaves out the specs that need the command built, which
	// takes longer than all the others.
	withoutCommand = " && !area:command"
)

// workshop is a directory of its own for one fault, or for the code as it is.
type workshop struct {
	root string // of the module
	dir  string // temporary
	env  []string
}

func newWorkshop(root string) (*workshop, error) {
	dir, err := os.MkdirTemp("", "mutant-")
	return &workshop{root: root, dir: dir, env: append(os.Environ(), "TMPDIR="+dir)}, err
}

func (w *workshop) close() { _ = os.RemoveAll(w.dir) }

// overlay has every Go command that w runs, and those that these run, see the
// fault in the place of what is in the tree.
func (w *workshop) overlay(f fault) error {
	original := filepath.Join(w.root, f.file)
	source, err := os.ReadFile(original)
	if err != nil {
		return fmt.Errorf("no longer applies: %w", err)
	}
	mutated, err := f.apply(string(source))
	if err != nil {
		return err
	}
	replacement, list := filepath.Join(w.dir, "mutated.go"), filepath.Join(w.dir, "overlay.json")
	if err := os.WriteFile(replacement, []byte(mutated), 0o600); err != nil {
		return err
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: replacement}})
	if err != nil {
		return err
	}
	w.env = append(w.env, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+list))
	return os.WriteFile(list, replace, 0o600)
}

// build compiles the tests of a package, quickly: without what a debugger needs.
func (w *workshop) build(ctx context.Context, pkg string) (binary string, err error) {
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	binary = filepath.Join(w.dir, "specs.test")
	out, err := w.command(ctx, w.root, "go", "test", "-c", "-ldflags=-s -w", "-o", binary, pkg).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("does not compile: %w\n%s", err, out)
	}
	return binary, nil
}

// command is a command that ends, with all that it has started, when ctx does.
func (w *workshop) command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, w.env, 5*time.Second
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd) }
	return cmd
}

// outcome is what a run of specs or tests has come to.
type outcome struct {
	ran, failed []string // whole sentences, or names of tests
	took        map[string]time.Duration
	labels      map[string][]string // of each that passed
}

// specs runs those that the filter selects, up to the first that fails. When
// the time is over, the one that runs has failed.
func (w *workshop) specs(ctx context.Context, binary, filter string, limit time.Duration) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, limit+cleanupTime)
	defer cancel()
	report := filepath.Join(w.dir, "report.json")
	cmd := w.command(ctx, filepath.Join(w.root, specsPackage), binary,
		"-ginkgo.label-filter="+filter, "-ginkgo.json-report="+report, "-ginkgo.fail-fast", "-ginkgo.no-color",
		"-ginkgo.timeout="+limit.String(), "-ginkgo.grace-period=5s")
	out, runErr := cmd.CombinedOutput()
	text, err := os.ReadFile(report)
	if err != nil {
		return outcome{}, fmt.Errorf("the run has ended without a report: %w\n%s", runErr, lastLines(out))
	}
	return readReport(text)
}

// readReport takes what Ginkgo says apart.
func readReport(text []byte) (o outcome, err error) {
	var reports []types.Report
	if err := json.Unmarshal(text, &reports); err != nil {
		return o, err
	}
	o.labels, o.took = map[string][]string{}, map[string]time.Duration{}
	for _, report := range reports {
		for _, spec := range report.SpecReports {
			failed := spec.State.Is(types.SpecStateFailureStates)
			if spec.LeafNodeType != types.NodeTypeIt {
				if failed {
					err = fmt.Errorf("%s has failed: %s", spec.LeafNodeType, spec.Failure.Message)
				}
				continue
			}
			if spec.State.Is(types.SpecStateSkipped | types.SpecStatePending) {
				continue
			}
			o.ran = append(o.ran, spec.FullText())
			o.labels[spec.FullText()], o.took[spec.FullText()] = spec.Labels(), spec.RunTime
			switch {
			case spec.State == types.SpecStateTimedout:
				// It may be what the fault does, or a very busy machine: whoever reads it can tell.
				o.failed = append(o.failed, spec.FullText()+" (its time was over)")
			case failed:
				o.failed = append(o.failed, spec.FullText())
			}
		}
	}
	if len(o.failed) > 0 {
		err = nil // which may well have failed because of them
	}
	return o, err
}

var testLine = regexp.MustCompile(`(?m)^(=== RUN|--- FAIL:) +(Test\w+)`)

// tests runs the tests of a package that the regexp selects.
func (w *workshop) tests(ctx context.Context, binary, pkg, run string, limit time.Duration) (o outcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit+cleanupTime)
	defer cancel()
	cmd := w.command(ctx, filepath.Join(w.root, pkg), binary, "-test.v", "-test.run="+run, "-test.timeout="+limit.String())
	out, runErr := cmd.CombinedOutput()
	for _, m := range testLine.FindAllSubmatch(out, -1) {
		if name := string(m[2]); bytes.HasPrefix(m[1], []byte("===")) {
			o.ran = append(o.ran, name)
		} else {
			o.failed = append(o.failed, name)
		}
	}
	if runErr != nil && len(o.failed) == 0 {
		return o, fmt.Errorf("the run has ended without a failed test: %w\n%s", runErr, lastLines(out))
	}
	return o, nil
}

func lastLines(out []byte) []byte {
	lines := bytes.SplitAfter(out, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-20):], nil)
}

// verdict says what has caught a fault. It is an error if nothing has.
func (o outcome) verdict() (string, error) {
	switch {
	case len(o.failed) > 0:
		return o.failed[0], nil
	case len(o.ran) == 0:
		return "", errors.New("nothing is selected that could catch it")
	}
	return "", fmt.Errorf("survived: %d ran, and none has failed", len(o.ran))
}
