package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// legible finds the first line that is not a short line of UTF-8 text.
func legible(text []byte) (number int, err error) {
	if bytes.HasPrefix(text, []byte("\ufeff")) {
		return 1, errors.New("the file begins with a byte order mark: save it as UTF-8 without one")
	}
	for line := range bytes.Lines(text) {
		number++
		switch {
		case len(line) > maxLine:
			return number, fmt.Errorf("the line has more than %d octets", maxLine)
		case bytes.ContainsRune(line, 0):
			return number, errors.New("the line has a NUL: is this text, and UTF-8?")
		case !utf8.Valid(line):
			return number, errors.New("the line is not UTF-8")
		}
	}
	if len(text) > maxFile {
		return number, fmt.Errorf("the file has more than %d octets", maxFile)
	}
	return 0, nil
}

// check finds what is wrong with a line without running it.
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
		return fmt.Errorf("unknown command %q; those known: %s", c.name, strings.Join(commandNames(), " "))
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
	s.note(&c, member, v)
	return c.checkPatterns(member.usage().RegexpArgs)
}

// note keeps what must be known of a line before a run.
func (s *Scenario) note(c *words, m *member, v *verb) {
	if m.client && (v.name == "login" || v.name == "authenticates") {
		s.Cast = append(s.Cast, c.name)
	}
	if v.needs != "" {
		s.Cast = append(s.Cast, v.needs)
	}
	if (m.owns || v.owns) && !slices.Contains(c.conditions, "own") && s.Owns == "" {
		s.Owns = strings.TrimSpace("it needs a server of its own, for \""+c.name+" "+v.name) + "\""
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
		return fmt.Errorf("unknown condition [%s]; those known: [own] [key:K] [mechanism:M] [tls:V] and those of the matrix above it, each also with ! inside", text)
	}
	for value := range strings.SplitSeq(list, ",") {
		if !slices.Contains(values, value) {
			return fmt.Errorf("%s can't be %q but one of %s", dimension, value, strings.Join(values, " "))
		}
	}
	return nil
}

// checkPatterns compiles the arguments that are regular expressions, as far as
// they are known before a run.
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

// checkFiles finds files of the archive that would be outside of the scenario's
// folder, or there twice, and returns the line of the first.
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

// markerLine finds the last line that begins a file in an archive.
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
