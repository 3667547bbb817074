package scenarios

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

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

func parse(name, file string, text []byte) (*Scenario, error) {
	if line, err := legible(text); err != nil {
		return nil, &FileError{file, line, err}
	}
	archive := txtar.Parse(text)
	s := &Scenario{
		Name: name, File: file,
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
	if line, err := s.checkFiles(text); err != nil {
		return nil, &FileError{file, line, err}
	}
	slices.Sort(s.Cast)
	s.Cast = slices.Compact(s.Cast)
	return s, nil
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

// matrix multiplies the combinations by the values of each dimension.
func (s *Scenario) matrix(words []string) error {
	for _, word := range words {
		dimension, list, ok := strings.Cut(word, "=")
		values := strings.Split(list, ",")
		if err := s.checkDimension(dimension, values); !ok || err != nil {
			return cmp.Or(err, fmt.Errorf("matrix has no %q, but DIMENSION=VALUE,VALUE", word))
		}
		var product []Combination
		for _, c := range s.Matrix {
			for _, value := range values {
				product = append(product, append(slices.Clone(c), Choice{dimension, value}))
			}
		}
		if s.Matrix = product; len(product) > maxCombinations {
			return fmt.Errorf("the matrix has more than %d combinations", maxCombinations)
		}
		if (dimension == "key" || dimension == "tls") && s.Owns == "" {
			s.Owns = "it needs a server of its own, to choose " + dimension
		}
	}
	return nil
}

// maxCombinations bounds a matrix.
const maxCombinations = 1000

// isDimension matches the name of a dimension. None is also the name of another variable.
var isDimension = regexp.MustCompile(`^[a-z]+$`).MatchString

func (s *Scenario) checkDimension(name string, values []string) error {
	if !isDimension(name) || name == "own" || len(s.values(name)) > 0 {
		return fmt.Errorf("matrix can't have a dimension %q, or has it already", name)
	}
	for i, value := range values {
		if known := dimensions[name]; known != nil && !slices.Contains(known, value) {
			return fmt.Errorf("%s can't be %q but one of %s", name, value, strings.Join(known, " "))
		}
		if value == "" || slices.Contains(values[:i], value) {
			return fmt.Errorf("%s has the value %q, which is empty or there twice", name, value)
		}
	}
	return nil
}

// values returns the values of a dimension of the matrix, in order.
func (s *Scenario) values(dimension string) (values []string) {
	for _, c := range s.Matrix {
		if value := c.Get(dimension); value != "" && !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	return values
}

// dimensions are those that a run knows, and their values. A matrix may have others.
var dimensions = map[string][]string{
	"tls":       {"1.2", "1.3"},
	"key":       {"ecdsa", "ed25519", "rsa"},
	"mechanism": {"plain", "plus"},
}
