package scenarios

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
)

// extension of a scenario file.
const extension = ".txtar"

// Limits of a scenario file, in bytes.
const (
	maxFile = 4 << 20
	maxLine = 16 << 10
)

// Load reads all scenarios (*.txtar) of a file system, sorted by name. Its error joins a [FileError] for
// each faulty file; the scenarios of the other files are returned with it.
func Load(fsys fs.FS) ([]*Scenario, error) { return load(fsys, "") }

// load is Load for the file system at folder. The errors name the folder.
func load(fsys fs.FS, folder string) ([]*Scenario, error) {
	var all []*Scenario
	var faults []error
	err := fs.WalkDir(fsys, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(file) != extension {
			return err
		}
		s, err := loadFile(fsys, file, filepath.Join(folder, file))
		if err != nil {
			faults = append(faults, err)
			return nil
		}
		all = append(all, s)
		return nil
	})
	return all, errors.Join(append(faults, err)...)
}

// LoadPath reads a scenario file, or all scenarios of a folder, as [Load] does. The name of a scenario is its
// path in the folder, or the path of the single file. A folder without scenarios is an error.
func LoadPath(name string) ([]*Scenario, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		s, err := loadFile(os.DirFS(filepath.Dir(name)), filepath.Base(name), name)
		if err != nil {
			return nil, err
		}
		s.Name = strings.TrimSuffix(filepath.ToSlash(filepath.Clean(name)), extension)
		return []*Scenario{s}, nil
	}
	all, err := load(os.DirFS(name), name)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%s: the folder has no scenario (*%s)", name, extension)
	}
	return all, err
}

func loadFile(fsys fs.FS, file, shown string) (*Scenario, error) {
	text, err := readFile(fsys, file)
	if err != nil {
		return nil, &FileError{File: shown, Err: err}
	}
	return parse(strings.TrimSuffix(file, extension), shown, text)
}

// readFile reads a file. It stops one byte after maxFile.
func readFile(fsys fs.FS, file string) ([]byte, error) {
	info, err := fs.Stat(fsys, file)
	switch {
	case err != nil:
		return nil, withoutPath(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("the file is not a regular file")
	}
	f, err := fsys.Open(file)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	return text, withoutPath(err)
}

// withoutPath removes the path from an error, because a FileError has it.
func withoutPath(err error) error {
	if named, ok := errors.AsType[*fs.PathError](err); ok {
		return named.Err
	}
	return err
}

// A FileError is a fault in a scenario file.
type FileError struct {
	File string
	// Line counts from 1. Zero means the file as a whole.
	Line int
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

// A Scenario is one file, checked and ready to run.
type Scenario struct {
	// Name is the path of the file without its extension, such as admission/queue-order.
	Name string
	// File is the path of the file.
	File string
	// Title is the sentence in the first comment.
	Title string
	// Labels are the key:value words before the title, such as promise:1 and battery:3.
	Labels []string
	// Matrix has each combination in which the scenario runs. Without a matrix it has one empty combination.
	Matrix []Combination
	// Lines are the lines of the script.
	Lines []string
	// Files are the files behind the script.
	Files []txtar.File
	// Owns is the reason why the scenario needs a server in the process. Empty means that it needs none.
	Owns string
	// Cast has the names of the members that log in.
	Cast []string

	// decoyed has the clients that connect to Mallory at the current line of the check.
	decoyed []string
	// reaches means that a client connects to the server.
	reaches bool
}

func parse(name, file string, text []byte) (*Scenario, error) {
	if line, err := checkText(text); err != nil {
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
	if s.Owns == "" && len(s.decoyed) > 0 && !s.reaches {
		s.Owns = "it uses no server: Mallory is in its place"
	}
	slices.Sort(s.Cast)
	s.Cast = slices.Compact(s.Cast)
	return s, nil
}

// heading reads the first comment.
func (s *Scenario) heading() error {
	text, ok := strings.CutPrefix(s.Lines[0], "#")
	if !ok {
		return errors.New("a scenario begins with a comment: labels such as promise:N, and a sentence on what it shows")
	}
	words := strings.Fields(text)
	for len(words) > 0 && isLabel(words[0]) {
		s.Labels = append(s.Labels, words[0])
		words = words[1:]
	}
	s.Title = strings.Join(words, " ")
	if s.Title == "" {
		return errors.New("the first comment has no sentence on what the scenario shows")
	}
	return nil
}

func isLabel(word string) bool {
	key, value, ok := strings.Cut(word, ":")
	return ok && key != "" && value != ""
}

// A Combination is one value for each dimension of a matrix.
type Combination []Choice

// A Choice is the value of one dimension.
type Choice struct{ Dimension, Value string }

// String returns the combination as it is written: "tls=1.3 key=ecdsa".
func (c Combination) String() string {
	words := make([]string, len(c))
	for i, choice := range c {
		words[i] = choice.Dimension + "=" + choice.Value
	}
	return strings.Join(words, " ")
}

// get returns the value of a dimension, or "".
func (c Combination) get(dimension string) string {
	for _, choice := range c {
		if choice.Dimension == dimension {
			return choice.Value
		}
	}
	return ""
}

// dimensions are the dimensions that configure a run, with their values. A matrix can have others, too.
var dimensions = map[string][]string{
	"tls":       {"1.2", "1.3"},
	"key":       {"ecdsa", "ed25519", "rsa"},
	"mechanism": {"plain", "plus"},
}

// maxCombinations bounds a matrix.
const maxCombinations = 1000

// matrix multiplies the combinations by the values of each dimension.
func (s *Scenario) matrix(words []string) error {
	for _, word := range words {
		dimension, list, ok := strings.Cut(word, "=")
		values := strings.Split(list, ",")
		if err := s.checkDimension(dimension, values); !ok || err != nil {
			return cmp.Or(err, fmt.Errorf("%q is not DIMENSION=VALUE,VALUE", word))
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

// isDimension reports whether a name can be that of a dimension. No other variable has such a name.
var isDimension = regexp.MustCompile(`^[a-z]+$`).MatchString

func (s *Scenario) checkDimension(name string, values []string) error {
	if !isDimension(name) || name == "own" || len(s.values(name)) > 0 {
		return fmt.Errorf("matrix can't have a dimension %q, or has it already", name)
	}
	for i, value := range values {
		if known := dimensions[name]; known != nil {
			if err := oneOf(name, value, known...); err != nil {
				return err
			}
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
		if value := c.get(dimension); value != "" && !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	return values
}
