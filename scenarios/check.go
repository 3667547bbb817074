package scenarios

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// checkText returns the first line that is not a short line of UTF-8 text.
func checkText(text []byte) (number int, err error) {
	if bytes.HasPrefix(text, []byte("\ufeff")) {
		return 1, errors.New("the file begins with a byte order mark: save it as UTF-8 without one")
	}
	for line := range bytes.Lines(text) {
		number++
		switch {
		case len(line) > maxLine:
			return number, fmt.Errorf("the line has more than %d bytes", maxLine)
		case bytes.ContainsRune(line, 0):
			return number, errors.New("the line has a NUL: is this text, and UTF-8?")
		case !utf8.Valid(line):
			return number, errors.New("the line is not UTF-8")
		}
	}
	if len(text) > maxFile {
		return number, fmt.Errorf("the file has more than %d bytes", maxFile)
	}
	return 0, nil
}

// leastSeen is the length of a text below which encrypted data contains it by chance, once in some thousand runs.
const leastSeen = 4

// check finds the faults of a line of the script, and does not run it.
func (s *Scenario) check(line string) error {
	c, err := split(line)
	if err != nil || c.name == "" {
		return err
	}
	for _, condition := range c.conditions {
		if err := s.checkCondition(condition); err != nil {
			return err
		}
	}
	member, known := members[c.name]
	switch {
	case !known && !isToolCommand(c.name):
		return fmt.Errorf("unknown command %q; there are: %s", c.name, strings.Join(commandNames(), " "))
	case !known:
		return c.checkPatterns(toolCommands()[c.name].Usage().RegexpArgs)
	case c.name == "matrix":
		return s.matrix(c.texts())
	}
	v, err := member.find(c.texts())
	if err == nil {
		_, _, err = v.arguments(c.name, c.texts())
	}
	if err != nil {
		return err
	}
	if c.name == "eve" && v.name == "saw" && len(c.args[1].text) < leastSeen && !c.args[1].variable {
		return fmt.Errorf("%q has less than %d bytes: encrypted data may contain it by chance", c.args[1].text, leastSeen)
	}
	s.note(&c, member, v)
	return c.checkPatterns(member.usage().RegexpArgs)
}

// note learns from a line where the scenario can run.
func (s *Scenario) note(c *words, m *member, v *verb) {
	if m.client && v.logsIn {
		s.Cast = append(s.Cast, c.name)
	}
	if v.needs != "" {
		s.Cast = append(s.Cast, v.needs)
	}
	s.follow(c, v)
	if m.owns && !slices.Contains(c.conditions, "own") && s.Owns == "" {
		s.Owns = "it needs a server of its own, for \"" + strings.TrimSpace(c.name+" "+v.name) + "\""
	}
}

// follow learns whether a line connects to the server, or to Mallory in its place.
func (s *Scenario) follow(c *words, v *verb) {
	switch v.name {
	case "awaits", "serves":
		s.decoyed = append(s.decoyed, c.args[1].text)
	case "steps-aside":
		s.decoyed = slices.DeleteFunc(s.decoyed, func(name string) bool { return name == c.args[1].text })
	case "login", "connect":
		s.reaches = s.reaches || !slices.Contains(s.decoyed, c.name)
	default:
		s.reaches = s.reaches || v.needs != "" || v.name == "stands-between" || c.name == "sybil"
	}
}

func (s *Scenario) checkCondition(text string) error {
	dimension, list, ok := strings.Cut(strings.TrimPrefix(text, "!"), ":")
	values := dimensions[dimension]
	if values == nil {
		values = s.values(dimension)
	}
	switch {
	case !ok && dimension == "own":
		return nil
	case !ok || values == nil:
		return fmt.Errorf("unknown condition [%s]; there are [own] [key:K] [mechanism:M] [tls:V] and the dimensions of the matrix above, each also with ! inside", text)
	}
	for value := range strings.SplitSeq(list, ",") {
		if err := oneOf(dimension, value, values...); err != nil {
			return err
		}
	}
	return nil
}

// checkPatterns compiles the arguments that are regular expressions, except those with variables.
func (c *words) checkPatterns(which func(args ...string) []int) error {
	if which == nil {
		return nil
	}
	for _, i := range which(c.texts()...) {
		if i >= len(c.args) || c.args[i].variable {
			continue
		}
		if _, err := regexp.Compile(c.args[i].text); err != nil {
			return fmt.Errorf("bad regexp %q: %w", c.args[i].text, err)
		}
	}
	return nil
}

// checkFiles returns the line of the first file of the archive that occurs twice, or whose name is outside the
// scenario's folder.
func (s *Scenario) checkFiles(text []byte) (number int, err error) {
	seen := map[string]bool{}
	for _, f := range s.Files {
		switch {
		case !filepath.IsLocal(f.Name) || strings.Contains(f.Name, "$"):
			err = fmt.Errorf("the file %q would be outside the scenario's folder", f.Name)
		case seen[f.Name]:
			err = fmt.Errorf("the file %q is there twice", f.Name)
		}
		if err != nil {
			return markerLine(text, f.Name), err
		}
		seen[f.Name] = true
	}
	return 0, nil
}

// markerLine returns the last line of an archive that begins a file of that name.
func markerLine(text []byte, name string) (found int) {
	number := 0
	for line := range bytes.Lines(text) {
		number++
		inner, marker := strings.CutPrefix(strings.TrimSpace(string(line)), "-- ")
		if marker && strings.TrimSpace(strings.TrimSuffix(inner, " --")) == name {
			found = number
		}
	}
	return found
}

// words are one line of a script. The zero words are a comment, or an empty line.
type words struct {
	conditions []string
	// want is "!", "?" or "".
	want       string
	background bool
	name       string
	args       []word
}

// A word is an argument before the engine replaces its variables.
type word struct {
	text string
	// quoted means that at least a part is quoted, variable that a part is a variable.
	quoted, variable bool
}

// texts returns the arguments without their quotes.
func (c *words) texts() []string {
	all := make([]string, len(c.args))
	for i, w := range c.args {
		all[i] = w.text
	}
	return all
}

// split splits a line into words, as the script engine does at the run.
func split(line string) (c words, err error) {
	all, err := scan(line)
	if err != nil {
		return c, err
	}
	for i, w := range all {
		switch prefix := c.name == "" && !w.quoted; {
		case c.name == "" && w.quoted:
			return c, fmt.Errorf("%q can't be a command: it is quoted", w.text)
		case prefix && (w.text == "!" || w.text == "?"):
			c.want = w.text
		case prefix && strings.HasPrefix(w.text, "[") && strings.HasSuffix(w.text, "]"):
			c.conditions = append(c.conditions, strings.TrimSpace(w.text[1:len(w.text)-1]))
		case prefix:
			c.name = w.text
		case i == len(all)-1 && w.text == "&" && !w.quoted:
			c.background = true
		default:
			c.args = append(c.args, w)
		}
	}
	if c.name == "" && len(all) > 0 {
		return c, errors.New("the line has no command")
	}
	return c, nil
}

// separators end a word; # begins a comment as well.
const separators = " \t\r\n#"

// scan finds the words of a line. Text in single quotes is part of one word and keeps its $; two quotes
// inside are one.
func scan(line string) (all []word, err error) {
	var w word
	var text []byte
	begun, quoted := false, false
	flush := func() {
		if begun {
			w.text = string(text)
			all = append(all, w)
		}
		w, text, begun = word{}, nil, false
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\'' && quoted && strings.HasPrefix(line[i+1:], "'"):
			text = append(text, c)
			i++
		case c == '\'':
			quoted = !quoted
			w.quoted, begun = true, true
		case !quoted && strings.IndexByte(separators, c) >= 0:
			flush()
			if c == '#' {
				return all, nil
			}
		default:
			text = append(text, c)
			begun, w.variable = true, w.variable || c == '$' && !quoted
		}
	}
	if quoted {
		return nil, errors.New("a quote is opened and not closed")
	}
	flush()
	return all, nil
}

// hexPrefix begins a body that is written in hex.
const hexPrefix = "hex:"

// bodyOf returns the bytes of a body in a script: the text itself, hex:HEX, or xN for N times the letter x.
func bodyOf(text string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(text, hexPrefix); ok {
		body, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("the body %.40q is not hex: %w", text, err)
		}
		return body, nil
	}
	if len(text) > 1 {
		if n, err := strconv.Atoi(text[1:]); err == nil && n >= 0 && n <= maxFile {
			return []byte(strings.Repeat(text[:1], n)), nil
		}
	}
	return []byte(text), nil
}
