// Cover says how much of the product all the tests together execute, and demands
// a reason for every stretch of more than five lines that none does. Its
// arguments are coverage profiles, which it adds up:
//
//	go run ./specs/cover PROFILE...         # "make cover" makes them
//
// Reasons are kept in uncovered.txt, a line "FILE FUNCTION: reason" each. One
// that is missing is an error, and so is one for what is covered by now.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/tools/cover"
)

const (
	module    = "github.com/sallyport/sallyport/"
	reasons   = "specs/cover/uncovered.txt"
	tolerated = 5 // lines
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cover:", err)
		os.Exit(1)
	}
}

func run(paths []string, out io.Writer) error {
	profiles, err := readProfiles(paths)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(reasons)
	if err != nil {
		return fmt.Errorf("(run from the module's root) %w", err)
	}
	known, err := parseReasons(string(text))
	if err != nil {
		return err
	}
	summarize(out, profiles)
	var found []gap
	for _, p := range profiles {
		gaps, err := gapsOf(p)
		if err != nil {
			return err
		}
		found = append(found, gaps...)
	}
	return judge(out, found, known)
}

// readProfiles adds up what several runs have executed, by file.
func readProfiles(paths []string) ([]*cover.Profile, error) {
	all := map[string]*cover.Profile{}
	for _, path := range paths {
		profiles, err := cover.ParseProfiles(path)
		if err != nil {
			return nil, err
		}
		for _, p := range profiles {
			p.FileName = strings.TrimPrefix(p.FileName, module)
			if err := add(all, p); err != nil {
				return nil, err
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no profile has any file in it")
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *cover.Profile) int {
		return cmp.Compare(a.FileName, b.FileName)
	}), nil
}

func add(all map[string]*cover.Profile, p *cover.Profile) error {
	sum := all[p.FileName]
	if sum == nil {
		all[p.FileName] = p
		return nil
	}
	if len(sum.Blocks) != len(p.Blocks) {
		return fmt.Errorf("%s: the profiles are of different sources", p.FileName)
	}
	for i := range p.Blocks {
		sum.Blocks[i].Count += p.Blocks[i].Count
	}
	return nil
}

// summarize prints which part of the statements is executed, by package and in
// all.
func summarize(out io.Writer, profiles []*cover.Profile) {
	type count struct{ covered, all int }
	packages, total := map[string]count{}, count{}
	for _, p := range profiles {
		name := path.Dir(p.FileName)
		c := packages[name]
		for _, b := range p.Blocks {
			c.all, total.all = c.all+b.NumStmt, total.all+b.NumStmt
			if b.Count > 0 {
				c.covered, total.covered = c.covered+b.NumStmt, total.covered+b.NumStmt
			}
		}
		packages[name] = c
	}
	percent := func(c count) float64 { return 100 * float64(c.covered) / float64(max(c.all, 1)) }
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		fmt.Fprintf(out, "%-22s %5.1f %%  of %4d statements\n", name, percent(packages[name]), packages[name].all)
	}
	fmt.Fprintf(out, "%-22s %5.1f %%  of %4d statements\n", "total", percent(total), total.all)
}

// judge lists the gaps, and says which lack a reason and which reasons lack a gap.
func judge(out io.Writer, found []gap, known map[string]string) error {
	var missing []string
	seen := map[string]bool{}
	for _, g := range found {
		reason, ok := known[g.key()]
		seen[g.key()] = true
		if !ok {
			reason = "NO REASON"
			missing = append(missing, g.key())
		}
		fmt.Fprintf(out, "%s:%d-%d %s: %s\n", g.file, g.first, g.last, g.function, reason)
	}
	stale := slices.DeleteFunc(slices.Sorted(maps.Keys(known)), func(key string) bool { return seen[key] })
	var err error
	if len(missing) > 0 {
		err = fmt.Errorf("test, delete, or give a reason in %s for %q", reasons, missing)
	}
	if len(stale) > 0 {
		err = errors.Join(err, fmt.Errorf("%s has reasons for what is covered or gone: %q", reasons, stale))
	}
	return err
}

// parseReasons reads lines "FILE FUNCTION: reason", by what stands before the
// colon. Empty lines and those that begin with # are for people.
func parseReasons(text string) (map[string]string, error) {
	known := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, reason, _ := strings.Cut(line, ": ")
		if _, twice := known[key]; twice || reason == "" || len(strings.Fields(key)) != 2 {
			return nil, fmt.Errorf("%s: %q is not FILE FUNCTION: reason, or is there twice", reasons, line)
		}
		known[key] = reason
	}
	return known, nil
}
