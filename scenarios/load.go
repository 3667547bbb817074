package scenarios

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// extension of a scenario file.
const extension = ".txtar"

// Load reads every scenario (*.txtar) of a file system, in the order of their
// names. The error joins a [FileError] for each file that is not a scenario;
// those that are, are returned all the same.
func Load(fsys fs.FS) ([]*Scenario, error) { return load(fsys, "") }

// load reads every scenario; folder is where the file system is, for whoever
// looks for a file of which an error tells.
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

// LoadPath reads the scenario that a path names, or those of the folder that it
// names, as [Load] does. A folder's scenarios are named by their paths in it,
// a single one by its path. A folder without any is an error.
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

// readFile reads a little more than a scenario may have, at most.
func readFile(fsys fs.FS, file string) ([]byte, error) {
	info, err := fs.Stat(fsys, file)
	switch {
	case err != nil:
		return nil, plainError(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("is no regular file")
	}
	f, err := fsys.Open(file)
	if err != nil {
		return nil, plainError(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	return text, plainError(err)
}

// plainError drops the path, which the one who tells of it names already.
func plainError(err error) error {
	if named, ok := errors.AsType[*fs.PathError](err); ok {
		return named.Err
	}
	return err
}
