package users

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/protocol/scram"
)

const byteOrderMark = "\ufeff"

// line is a line of the file. A comment has no name. A faulty line may have one.
type line struct {
	text, name, fault string
	verifier          scram.Verifier
}

func (l line) valid() bool { return l.name != "" && l.fault == "" }

func format(lines []line) (data []byte) {
	for _, l := range lines {
		data = append(append(data, l.text...), '\n')
	}
	return data
}

// parse parses the file. All lines of a name that occurs more than once are faulty, because the right
// password is not known.
func parse(data []byte) (lines []line) {
	first := map[string]int{}
	for whole := range strings.Lines(string(data)) {
		whole = strings.TrimSuffix(whole, "\n")
		text := strings.TrimSuffix(whole, "\r")
		if len(lines) == 0 {
			text = strings.TrimPrefix(text, byteOrderMark)
		}
		l := parseLine(text)
		l.text = whole
		if i, again := first[l.name]; again && l.name != "" {
			l.fault = fmt.Sprintf("it has the name of line %d, which is ignored too", i+1)
			lines[i].fault = fmt.Sprintf("it has the name of line %d, which is ignored too", len(lines)+1)
		} else {
			first[l.name] = len(lines)
		}
		lines = append(lines, l)
	}
	return lines
}

func parseLine(text string) line {
	l := line{text: text}
	if strings.TrimSpace(text) == "" || text[0] == '#' {
		return l
	}
	if len(text) > maxLine {
		l.fault = "it is longer than 8 KiB"
		return l
	}
	escaped, verifier, colon := strings.Cut(text, ":")
	name := unescape.Replace(escaped)
	prepared, err := scram.Prepare(name)
	switch {
	case !colon:
		l.fault = "no colon follows the name"
	case escape(name) != escaped:
		l.fault = "the name is not escaped as it must be"
	case err != nil || prepared != name:
		l.fault = "the name is not prepared with SASLprep"
	default:
		l.name = name
		if l.verifier, err = scram.ParseVerifier(verifier); err != nil {
			l.fault = verifierFault(verifier)
		}
	}
	return l
}

// verifierFault returns what is wrong with a text that [scram.ParseVerifier] refuses, without quoting it.
func verifierFault(text string) string {
	rest, ok := strings.CutPrefix(text, scram.SHA256+"$")
	digits, _, _ := strings.Cut(rest, ":")
	n, err := strconv.Atoi(digits)
	switch {
	case !ok:
		return "no SCRAM-SHA-256 verifier follows the name"
	case errors.Is(err, strconv.ErrRange), err == nil && (n < scram.MinIterations || n > scram.MaxIterations):
		return fmt.Sprintf("the verifier's iterations are not from %d to %d", scram.MinIterations, scram.MaxIterations)
	case strings.TrimSpace(text) != text:
		return "white space follows the verifier"
	}
	return "the verifier does not have the form of RFC 5803"
}

var (
	percent  = strings.NewReplacer("%", "%25", ":", "%3A")
	unescape = strings.NewReplacer("%25", "%", "%3A", ":", "%23", "#")
)

// escape returns a name as it stands in the file.
func escape(name string) string {
	escaped := percent.Replace(name)
	if strings.HasPrefix(escaped, "#") {
		return "%23" + escaped[1:]
	}
	return escaped
}

// faults returns an error for each of the first hundred faulty lines.
func faults(path string, lines []line) (list []error) {
	for i, l := range lines {
		if l.fault != "" && len(list) < 100 {
			list = append(list, fmt.Errorf("%s:%d: %w: %s", path, i+1, ErrLine, l.fault))
		}
	}
	return list
}
