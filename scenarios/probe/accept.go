package probe

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Accepted are the known deviations of a peer.
type Accepted struct {
	lines []acceptedLine
}

type acceptedLine struct {
	name, reason string
	used         bool
}

// ReadAccepted reads known deviations: lines with the name of a case, a colon and the reason. In place of the name of
// a case there can be the name without its login, or a rule and a section, as in "grammar RFC 5802 §7". Empty lines
// and lines that begin with # count for nothing.
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
		a.lines = append(a.lines, acceptedLine{name: strings.TrimSpace(name), reason: reason})
	}
	return a, in.Err()
}

// mark notes on a result that it is a known deviation.
func (a *Accepted) mark(r Result) Result {
	if a == nil || r.Verdict == Pass || r.Verdict == Skip {
		return r
	}
	stanza, _, _ := strings.Cut(r.Name, " ")
	for i := range a.lines {
		if line := &a.lines[i]; line.name == r.Name || line.name == stanza || line.name == r.Rule+" "+r.Section {
			line.used, r.Known = true, line.reason
			break
		}
	}
	return r
}

// unused returns the names of deviations that did not occur.
func (a *Accepted) unused() (names []string) {
	if a == nil {
		return nil
	}
	for _, line := range a.lines {
		if !line.used {
			names = append(names, line.name)
		}
	}
	return names
}
