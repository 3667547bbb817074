package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/tools/txtar"
)

// Limits of a scenario file, in octets.
const (
	maxFile = 4 << 20
	maxLine = 16 << 10
)

// A Scenario is one file, checked and ready to run.
type Scenario struct {
	Name   string   // its path without the extension: admission/queue-order
	File   string   // its path
	Title  string   // the sentence of its first comment
	Labels []string // the key:value words before it, such as promise:1 and battery:3
	Matrix []Combination
	Lines  []string // of the script
	Files  []txtar.File

	// Owns says why it can't run against a server that it didn't start; empty
	// if it can.
	Owns string
	Cast []string // the members that log in
}

// A Combination is one choice out of each dimension of a matrix.
type Combination []Choice

// A Choice is the value of one dimension.
type Choice struct{ Dimension, Value string }

// String returns it as it is written: "tls=1.3 key=ecdsa".
func (c Combination) String() string {
	words := make([]string, len(c))
	for i, choice := range c {
		words[i] = choice.Dimension + "=" + choice.Value
	}
	return strings.Join(words, " ")
}

// Get returns the value of a dimension, or "".
func (c Combination) Get(dimension string) string {
	for _, choice := range c {
		if choice.Dimension == dimension {
			return choice.Value
		}
	}
	return ""
}

// A FileError says what is wrong with a scenario file, and in which line.
type FileError struct {
	File string
	Line int // 0: in the file as a whole
	Err  error
}

func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

// Load reads every scenario (*.txtar) of a file system, in the order of their
// names. The error joins a [FileError] for each file that is not a scenario;
// those that are, are returned all the same.
func Load(fsys fs.FS) ([]*Scenario, error) {
	var all []*Scenario
	var faults []error
	err := fs.WalkDir(fsys, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(file) != ".txtar" {
			return err
		}
		s, err := LoadFile(fsys, file)
		if err != nil {
			faults = append(faults, err)
			return nil
		}
		all = append(all, s)
		return nil
	})
	return all, errors.Join(append(faults, err)...)
}

// LoadFile reads one scenario. Its error is a [FileError].
func LoadFile(fsys fs.FS, file string) (*Scenario, error) {
	info, err := fs.Stat(fsys, file)
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("has %d octets, more than %d", info.Size(), maxFile)
	}
	var text []byte
	if err == nil {
		text, err = fs.ReadFile(fsys, file)
	}
	if err != nil {
		return nil, &FileError{File: file, Err: err}
	}
	return parse(file, text)
}

func parse(file string, text []byte) (*Scenario, error) {
	if line, err := legible(text); err != nil {
		return nil, &FileError{file, line, err}
	}
	archive := txtar.Parse(text)
	s := &Scenario{
		Name: strings.TrimSuffix(file, path.Ext(file)), File: file,
		Files: archive.Files, Matrix: []Combination{nil},
		Lines: strings.Split(strings.TrimSuffix(string(archive.Comment), "\n"), "\n"),
	}
	if err := s.heading(); err != nil {
		return nil, &FileError{file, 1, err}
	}
	for i, line := range s.Lines {
		if err := s.check(line); err != nil {
			return nil, &FileError{file, i + 1, err}
		}
	}
	slices.Sort(s.Cast)
	s.Cast = slices.Compact(s.Cast)
	return s, nil
}

// legible finds the first line that is not short lines of UTF-8 text.
func legible(text []byte) (number int, err error) {
	for line := range bytes.Lines(text) {
		number++
		switch {
		case len(line) > maxLine:
			return number, fmt.Errorf("the line has %d octets, more than %d", len(line), maxLine)
		case !utf8.Valid(line):
			return number, errors.New("the line is not UTF-8")
		case bytes.ContainsRune(line, 0):
			return number, errors.New("the line has a NUL; is this a text file?")
		}
	}
	return 0, nil
}

// heading reads the first comment.
func (s *Scenario) heading() error {
	text, ok := strings.CutPrefix(s.Lines[0], "#")
	if !ok {
		return errors.New("a scenario begins with a comment: # promise:N or the RFC's section, and what it shows")
	}
	words := strings.Fields(text)
	for len(words) > 0 && isLabel(words[0]) {
		s.Labels = append(s.Labels, words[0])
		words = words[1:]
	}
	s.Title = strings.Join(words, " ")
	if s.Title == "" {
		return errors.New("the first comment says nothing about what the scenario shows")
	}
	return nil
}

func isLabel(word string) bool {
	key, value, ok := strings.Cut(word, ":")
	return ok && key != "" && value != ""
}

// check finds what is wrong with a line without running it.
func (s *Scenario) check(line string) error {
	c := split(line)
	if c.name == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	member, known := members[c.name]
	switch {
	case !known && !isToolCommand(c.name):
		return fmt.Errorf("unknown command %q; those known: %s", c.name, strings.Join(commandNames(), " "))
	case !known:
		return nil
	case c.name == "matrix":
		return s.matrix(c.words)
	}
	v, err := member.find(c.words)
	if err != nil {
		return err
	}
	if member.client && v.name == "login" {
		s.Cast = append(s.Cast, c.name)
	}
	if (member.owns || v.owns) && !slices.Contains(c.conditions, "own") && s.Owns == "" {
		s.Owns = strings.TrimSpace("it needs a server of its own, for \""+c.name+" "+v.name) + "\""
	}
	return nil
}

// matrix multiplies what there is by each value of each dimension.
func (s *Scenario) matrix(words []string) error {
	for _, word := range words {
		dimension, values, ok := strings.Cut(word, "=")
		known := dimensions[dimension]
		if !ok || known == nil {
			return fmt.Errorf("matrix has no %q; its dimensions: key mechanism tls", word)
		}
		var product []Combination
		for _, c := range s.Matrix {
			for value := range strings.SplitSeq(values, ",") {
				if !slices.Contains(known, value) {
					return fmt.Errorf("%s can't be %q but one of %s", dimension, value, strings.Join(known, " "))
				}
				product = append(product, append(slices.Clone(c), Choice{dimension, value}))
			}
		}
		s.Matrix = product
		if (dimension == "key" || dimension == "tls") && s.Owns == "" {
			s.Owns = "it needs a server of its own, to choose " + dimension
		}
	}
	return nil
}

// dimensions of a matrix, and the values of each.
var dimensions = map[string][]string{
	"tls":       {"1.2", "1.3"},
	"key":       {"ecdsa", "ed25519", "rsa"},
	"mechanism": {"plain", "plus"},
}

// words of one line of a script.
type words struct {
	conditions []string
	want       string // "!" or "?"
	name       string
	words      []string
}

// split takes a line apart as the script engine does, as far as it must be
// known before a run.
func split(line string) (c words) {
	for _, word := range strings.Fields(line) {
		switch {
		case c.name != "":
			c.words = append(c.words, word)
		case strings.HasPrefix(word, "[") && strings.HasSuffix(word, "]"):
			c.conditions = append(c.conditions, word[1:len(word)-1])
		case word == "!" || word == "?":
			c.want = word
		case strings.HasPrefix(word, "#"):
			return c
		default:
			c.name = word
		}
	}
	return c
}
