package probe

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Accepted are the known deviations of a peer. Make one with [ReadAccepted].
type Accepted struct {
	// Name is the name of the file, for messages. It may be empty.
	Name  string
	lines []acceptedLine
}

type acceptedLine struct {
	name, reason string
	number       int
	// tested means that a case of this line was played, and used that one deviated.
	tested, used bool
}

// ReadAccepted reads known deviations: lines with a name, a colon and the reason. The name is a case as printed: its
// logins may be left out, and its mechanisms are ignored. Or it is a rule and a section, as in "grammar RFC 5802 §7",
// and covers all their cases. Empty lines and lines that begin with # are ignored.
func ReadAccepted(r io.Reader) (*Accepted, error) {
	a := &Accepted{}
	in := bufio.NewScanner(r)
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, _ := strings.Cut(line, ":")
		name, _, _ = strings.Cut(name, " (")
		one := acceptedLine{name: strings.TrimSpace(name), reason: strings.TrimSpace(reason), number: n}
		if one.name == "" || one.reason == "" {
			return nil, fmt.Errorf("line %d: %.80q is not of the form NAME: REASON", n, line)
		}
		if i := slices.IndexFunc(a.lines, func(l acceptedLine) bool { return l.name == one.name }); i >= 0 {
			return nil, fmt.Errorf("line %d: %.80q is also on line %d: delete one of them", n, one.name, a.lines[i].number)
		}
		a.lines = append(a.lines, one)
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("a line is too long")
	}
	return a, in.Err()
}

// covers reports whether a line is about a result.
func (l *acceptedLine) covers(r *Result) bool {
	return l.name == r.Rule+" "+r.Section || covers(l.name, r)
}

// check returns an error for a line that covers none of all possible results.
func (a *Accepted) check(all []Result) error {
	if a == nil {
		return nil
	}
	for _, line := range a.lines {
		if !slices.ContainsFunc(all, func(r Result) bool { return line.covers(&r) }) {
			return fmt.Errorf("%w%s: line %d: %q is neither a case nor a rule with its section; --list --level all prints them",
				ErrUsage, cmp.Or(a.Name, "known deviations"), line.number, line.name)
		}
	}
	return nil
}

// mark sets Known of a result if it is a known deviation.
func (a *Accepted) mark(r Result) Result {
	if a == nil || r.Verdict == Skip {
		return r
	}
	for i := range a.lines {
		line := &a.lines[i]
		if !line.covers(&r) {
			continue
		}
		line.tested = true
		if r.Verdict != Pass { // several lines may have one case: the first has the reason
			line.used, r.Known = true, cmp.Or(r.Known, line.reason)
		}
	}
	return r
}

// unused returns the names of the lines whose cases were played without a deviation.
func (a *Accepted) unused() (names []string) {
	if a == nil {
		return nil
	}
	for _, line := range a.lines {
		if line.tested && !line.used {
			names = append(names, line.name)
		}
	}
	return names
}
