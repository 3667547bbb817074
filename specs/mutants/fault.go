package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// fault is a patch that breaks the product.
type fault struct {
	name  string // of the file, without .patch
	guard string // "label: FILTER" or "tests: ./PACKAGE REGEXP", which selects what must fail
	diff  string // the whole file
}

var (
	guardLine = regexp.MustCompile(`(?m)^.+\n(label: \S.*|tests: \./\S+ \S+)\n\ndiff --git `)
	fileLine  = regexp.MustCompile(`(?m)^\+\+\+ b/(.+)$`)
	removed   = regexp.MustCompile(`(\n-.*)+`)
)

// readFaults reads the faults whose name matches.
func readFaults(folder string, match *regexp.Regexp) (faults []fault, err error) {
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		text, readErr := os.ReadFile(filepath.Join(folder, e.Name()))
		name, isPatch := strings.CutSuffix(e.Name(), ".patch")
		guard := guardLine.FindSubmatch(text)
		switch {
		case readErr != nil || !isPatch || guard == nil:
			err = errors.Join(err, readErr, fmt.Errorf("%s: want a NAME.patch with a header, see -help", e.Name()))
		case match.MatchString(name):
			faults = append(faults, fault{name, string(guard[1]), string(text)})
		}
	}
	if err == nil && len(faults) == 0 {
		err = fmt.Errorf("no fault in %s matches %q", folder, match)
	}
	return faults, err
}

// apply copies the files that the fault changes from root to the folder and
// changes the copies. It returns the path of each copy by that of its original.
func (f fault) apply(root, folder string) (overlay map[string]string, err error) {
	overlay = map[string]string{}
	var before, after []byte
	for _, m := range fileLine.FindAllStringSubmatch(f.diff, -1) {
		from, to := filepath.Join(root, m[1]), filepath.Join(folder, m[1])
		text, readErr := os.ReadFile(from)
		err = errors.Join(err, readErr, os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, text, 0o600))
		overlay[from], before = to, append(before, text...)
	}
	cmd := exec.Command("git", "apply")
	if f.unique(before) {
		cmd.Args = append(cmd.Args, "-C0") // edits nearby do no harm
	}
	cmd.Dir, cmd.Stdin = folder, strings.NewReader(f.diff)
	cmd.Env = append(os.Environ(), "GIT_DIR=none") // git apply ignores files outside of its repository
	if out, runErr := cmd.CombinedOutput(); runErr != nil {
		return nil, errors.Join(err, fmt.Errorf("the patch does not apply: %w: %s", runErr, out))
	}
	for _, m := range fileLine.FindAllStringSubmatch(f.diff, -1) {
		text, readErr := os.ReadFile(filepath.Join(folder, m[1]))
		err, after = errors.Join(err, readErr), append(after, text...)
	}
	if bytes.Equal(before, after) {
		err = errors.Join(err, errors.New("the patch changes nothing"))
	}
	return overlay, err
}

// unique reports whether each hunk removes lines that occur only once in the
// source, so that they show its place without their context.
func (f fault) unique(source []byte) bool {
	for _, hunk := range strings.Split(f.diff, "\n@@ ")[1:] {
		lines := strings.ReplaceAll(removed.FindString(hunk), "\n-", "\n") + "\n"
		if bytes.Count(source, []byte(lines)) != 1 {
			return false
		}
	}
	return true
}

// ofDay draws n faults for a day. The days that follow draw the others.
func ofDay(faults []fault, day, n int) []fault {
	all := slices.Clone(faults)
	rand.New(rand.NewPCG(0, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	at := day * n % len(all)
	return slices.Concat(all[at:], all[:at])[:min(n, len(all))]
}
