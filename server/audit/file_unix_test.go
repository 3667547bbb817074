//go:build unix

package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What is no regular file is not opened at all: opening the pipe would block, or make it a log.
func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	check(t, syscall.Mkfifo(pipe, 0o600))
	check(t, os.Symlink(pipe, link))
	for _, path := range []string{dir, pipe, link, "/dev/null", "/dev/tty"} {
		_, err := Open(path, Options{})
		is(t, path, err, ErrNotFile)
		if !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%v does not name %s", err, path)
		}
	}
	file := filepath.Join(dir, "file")
	check(t, errors.Join(os.Remove(link), os.Symlink(file, link)))
	record(t, opened(t, link, Options{}), "control")
	chained(t, read(t, file), "control")
}
