package report

import (
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/scenarios"
)

// A source is the part of a script around the line that failed.
type source struct {
	Lines []sourceLine
	// Above and Below are the numbers of lines that are left out. Empty means none.
	Above, Below string
}

type sourceLine struct {
	Number int
	Text   string
	// Class is fault, unreached or empty. First means that no line above is unreached.
	Class string
	First bool
}

// Limits of a source, in lines before and behind the one that failed.
const (
	maxBefore = 30
	maxBehind = 20
)

// newSource returns the source of a failed scenario, or nil if the line that failed is unknown.
func newSource(r *scenarios.Result) *source {
	fault := faultyLine(r)
	if fault == 0 {
		return nil
	}
	last := lastReached(r)
	from, to := max(0, fault-1-maxBefore), min(len(r.Scenario.Lines), fault+maxBehind)
	s := &source{}
	first := true
	for i, text := range r.Scenario.Lines[from:to] {
		l := sourceLine{Number: from + i + 1, Text: visible(strings.TrimRight(text, "\r\n"), maxText)}
		switch {
		case l.Number == fault:
			l.Class = "fault"
		case l.Number > last && isCommand(text):
			l.Class, l.First, first = "unreached", first, false
		}
		s.Lines = append(s.Lines, l)
	}
	if from > 0 {
		s.Above = count(from)
	}
	if rest := len(r.Scenario.Lines) - to; rest > 0 {
		s.Below = count(rest)
	}
	return s
}

// faultyLine returns the line that the error begins with, or 0 if there is none.
func faultyLine(r *scenarios.Result) int {
	rest, _ := strings.CutPrefix(r.Err.Error(), r.Scenario.File+":")
	digits, _, _ := strings.Cut(rest, ":")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > len(r.Scenario.Lines) {
		return 0
	}
	return n
}

// lastReached returns the last line that the run has reached. A step in the background may have failed before it.
func lastReached(r *scenarios.Result) (last int) {
	for _, s := range r.Steps {
		last = max(last, s.Line)
	}
	if r.Err != nil {
		last = max(last, faultyLine(r))
	}
	return last
}

// unreached returns the steps behind the one that ended a failed run.
func unreached(r *scenarios.Result) (all []step) {
	last := lastReached(r)
	if r.Status != scenarios.Failed || last == 0 || last > len(r.Scenario.Lines) {
		return nil
	}
	for i, text := range r.Scenario.Lines[last:] {
		if isCommand(text) {
			all = append(all, newUnreached(text, last+i+1))
		}
	}
	return all
}

// newUnreached returns the step of a line that was not reached.
func newUnreached(text string, number int) step {
	s := step{Line: number, Unreached: true}
	text, s.Background = strings.CutSuffix(strings.TrimSpace(text), " &")
	for {
		word, rest, more := strings.Cut(text, " ")
		switch {
		case more && (word == "!" || word == "?"):
			s.Want = word
		case !more || !strings.HasPrefix(word, "["):
			s.Who, s.Text = visible(word, maxText), visible(strings.TrimSpace(rest), maxText)
			return s
		}
		text = strings.TrimSpace(rest)
	}
}

// isCommand reports whether a line of a script is neither empty nor a comment.
func isCommand(line string) bool {
	line = strings.TrimSpace(line)
	return line != "" && line[0] != '#'
}
