package main

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fault is one small thing that is wrong in one file of the product.
type fault struct {
	name string // of its file, without .txt
	why  string // what is broken, and why it matters
	file string // of the product, from the module's root
	// What must catch it: the specs that this Ginkgo label filter selects or,
	// where tests is set, the tests of a package that this regexp selects.
	label, tests, run string
	hunks             []hunk
}

// hunk is lines as they are, and as they become.
type hunk struct{ before, after string }

// guard says what must catch the fault, as the header has it.
func (f fault) guard() string { return cmp.Or(f.label, f.tests+" "+f.run) }

// readFaults reads every fault of a directory, in the order of their names.
func readFaults(dir string) (faults []fault, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	for _, path := range paths {
		text, readErr := os.ReadFile(path)
		f, parseErr := parseFault(strings.TrimSuffix(filepath.Base(path), ".txt"), string(text))
		if problem := cmp.Or(readErr, parseErr); problem != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", path, problem))
		}
		faults = append(faults, f)
	}
	if len(faults) == 0 {
		err = errors.Join(err, fmt.Errorf("%s: no fault in it", dir))
	}
	return faults, err
}

// parseFault takes the text of a fault apart: a header up to the first empty
// line, then hunks, with an empty line between them.
func parseFault(name, text string) (fault, error) {
	f := fault{name: name}
	header, body, _ := strings.Cut(text, "\n\n")
	if err := f.parseHeader(header); err != nil {
		return f, err
	}
	for part := range strings.SplitSeq(strings.Trim(body, "\n"), "\n\n") {
		h, err := parseHunk(part)
		if err != nil {
			return f, err
		}
		f.hunks = append(f.hunks, h)
	}
	return f, nil
}

func (f *fault) parseHeader(header string) error {
	var why []string
	for line := range strings.Lines(header) {
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.HasPrefix(line, "#"):
			why = append(why, strings.TrimSpace(line[1:]))
		case key == "file":
			f.file = value
		case key == "label":
			f.label = value
		case key == "tests":
			f.tests, f.run, _ = strings.Cut(value, " ")
		default:
			return fmt.Errorf("%q is no line of a header (# why, file: PATH, label: FILTER, tests: PACKAGE REGEXP)", line)
		}
	}
	f.why = strings.Join(why, " ")
	if f.why == "" || f.file == "" || (f.label == "") == (f.tests == "") || (f.tests == "") != (f.run == "") {
		return errors.New("the header says why (#), file:, and either label: FILTER or tests: PACKAGE REGEXP")
	}
	return nil
}

// parseHunk reads lines that begin with a space (stays), - (goes) or + (comes).
func parseHunk(text string) (h hunk, err error) {
	for line := range strings.Lines(text + "\n") {
		sign, rest := line[:1], line[1:]
		if !strings.Contains(" +-", sign) {
			return h, fmt.Errorf("%q does not begin with a space, - or +", line)
		}
		if sign != "+" {
			h.before += rest
		}
		if sign != "-" {
			h.after += rest
		}
	}
	if h.before == "" || h.before == h.after {
		return h, errors.New("a hunk that changes nothing, or that stands nowhere")
	}
	return h, nil
}

// apply returns the source with the fault in it. Each hunk must stand in it
// exactly once.
func (f fault) apply(source string) (string, error) {
	for _, h := range f.hunks {
		before, after, found := cutLines(source, h.before)
		if _, _, again := cutLines(after, h.before); !found || again {
			return "", fmt.Errorf("no longer applies: in %s these lines don't stand exactly once:\n%s", f.file, h.before)
		}
		source = before + h.after + after
	}
	return source, nil
}

// cutLines is strings.Cut for whole lines.
func cutLines(source, lines string) (before, after string, found bool) {
	if at := strings.Index("\n"+source, "\n"+lines); at >= 0 {
		return source[:at], source[at+len(lines):], true
	}
	return source, "", false
}

// ofDay draws n faults for a day, counted from any. The days that follow draw
// the others, so that all have had their turn after len(faults)/n days.
func ofDay(faults []fault, day, n int) []fault {
	shuffled := slices.Clone(faults)
	slices.SortFunc(shuffled, func(a, b fault) int { return cmp.Compare(digest(a.name), digest(b.name)) })
	if n >= len(shuffled) {
		return shuffled
	}
	at := day * n % len(shuffled)
	return slices.Concat(shuffled[at:], shuffled[:at])[:n]
}

// digest is a number that neighbours in the alphabet don't share.
func digest(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}
