package probe

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Accepted are the known deviations of a peer.
type Accepted struct {
	lines []acceptedLine
}

type acceptedLine struct {
	name, reason string
	// tested means that a case of this line was played, and used that one deviated.
	tested, used bool
}

// ReadAccepted reads known deviations: lines with a name, a colon and the reason. The name is that of a case, as it is
// printed: with its logins, which may be left out, and with its mechanisms, which are ignored. Or it is a rule and a
// section, as in "grammar RFC 5802 §7", for all their cases. Empty lines and lines that begin with # are ignored.
func ReadAccepted(r io.Reader) (*Accepted, error) {
	a := &Accepted{}
	in := bufio.NewScanner(r)
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, ":")
		if reason = strings.TrimSpace(reason); !ok || reason == "" {
			return nil, fmt.Errorf("line %d: %.80q is not of the form NAME: REASON", n, line)
		}
		name, _, _ = strings.Cut(name, " (")
		a.lines = append(a.lines, acceptedLine{name: strings.TrimSpace(name), reason: reason})
	}
	return a, in.Err()
}

// covers reports whether a line has a result.
func (l *acceptedLine) covers(r *Result) bool {
	return l.name == r.Rule+" "+r.Section || covers(l.name, r)
}

// check returns an error for a line that has none of all results there can be.
func (a *Accepted) check(all []Result) error {
	if a == nil {
		return nil
	}
	for _, line := range a.lines {
		if !slices.ContainsFunc(all, func(r Result) bool { return line.covers(&r) }) {
			return fmt.Errorf("%wknown deviations: %q is neither a case nor a rule with its section; --list --level all prints them", ErrUsage, line.name)
		}
	}
	return nil
}

// mark notes on a result that it is a known deviation.
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
		if r.Verdict != Pass && r.Known == "" {
			line.used, r.Known = true, line.reason
		}
	}
	return r
}

// unused returns the names of the lines of which cases were played, and none deviated.
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
