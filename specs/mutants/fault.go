package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// fault is a patch that breaks the product.
type fault struct {
	name  string // of the file, without .patch
	guard string // "label: FILTER" or "tests: ./PACKAGE REGEXP", which selects what must fail
	text  string // of the file: a header and the diff
}

var (
	guardLine = regexp.MustCompile(`(?m)^.+\n(label: \S.*|tests: \./\S+ \S+)\n\ndiff --git `)
	fileLine  = regexp.MustCompile(`(?m)^\+\+\+ b/(.+)$`)
	removed   = regexp.MustCompile(`(\n-.*)+`)
)

// readFaults reads the faults whose name matches the regexp.
func readFaults(folder, pattern string) (faults []fault, err error) {
	match, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		text, readErr := os.ReadFile(filepath.Join(folder, e.Name()))
		name, isPatch := strings.CutSuffix(e.Name(), ".patch")
		if guard := guardLine.FindSubmatch(text); !isPatch || guard == nil {
			err = errors.Join(err, readErr, fmt.Errorf("%s is no patch with a header", e.Name()))
		} else if match.MatchString(name) {
			faults = append(faults, fault{name, string(guard[1]), string(text)})
		}
	}
	if err == nil && len(faults) == 0 {
		err = fmt.Errorf("no fault matches %q", pattern)
	}
	return faults, err
}

// apply copies the files that the patch changes from root to the folder, and
// patches the copies. The overlay has the path of each copy by that of its original.
func (f fault) apply(root, folder string) (overlay map[string]string, err error) {
	overlay = map[string]string{}
	var source []byte
	for _, m := range fileLine.FindAllStringSubmatch(f.text, -1) {
		from, to := filepath.Join(root, m[1]), filepath.Join(folder, m[1])
		text, readErr := os.ReadFile(from)
		err = errors.Join(err, readErr, os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, text, 0o600))
		overlay[from], source = to, append(source, text...)
	}
	cmd := exec.Command("git", "apply")
	if f.unique(source) {
		cmd.Args = append(cmd.Args, "-C0") // edits nearby do no harm
	}
	cmd.Dir, cmd.Stdin = folder, strings.NewReader(f.text)
	cmd.Env = append(os.Environ(), "GIT_DIR=none") // in a repository, git apply ignores files outside of it
	if out, applyErr := cmd.CombinedOutput(); applyErr != nil {
		return nil, errors.Join(err, fmt.Errorf("the patch does not apply: %w: %s", applyErr, out))
	}
	return overlay, err
}

// unique reports whether each hunk removes lines that occur only once in the
// source, so that they show its place without their context.
func (f fault) unique(source []byte) bool {
	for _, hunk := range strings.Split(f.text, "\n@@ ")[1:] {
		lines := strings.ReplaceAll(removed.FindString(hunk), "\n-", "\n") + "\n"
		if bytes.Count(source, []byte(lines)) != 1 {
			return false
		}
	}
	return true
}

// ofDay draws about n faults for a day. The days that follow draw the others.
func ofDay(faults []fault, day, n int) (drawn []fault) {
	days := (len(faults) + n - 1) / n
	for i := day % days; i < len(faults); i += days {
		drawn = append(drawn, faults[i])
	}
	return drawn
}
