// Package durable reads, replaces and locks the small files of a state directory. [Write] leaves either the old file or
// the new one, also after a crash, and [Lock] prevents two processes from changing the same file at once.
package durable

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gofrs/flock"
)

var (
	// ErrTooLarge means that a file is larger than its reader accepts.
	ErrTooLarge = errors.New("file too large")
	// ErrLocked means that another process held a lock for too long.
	ErrLocked = errors.New("locked by another process for too long, try again")
)

// Read returns the contents of a regular file of at most limit bytes, otherwise [ErrTooLarge], and its file info from
// before it was opened. It refuses other files, because a pipe could block for ever.
func Read(path string, limit int64) ([]byte, os.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%s: not a regular file", path)
	case info.Size() > limit:
		return nil, nil, fmt.Errorf("%s: %w: more than %d bytes", path, ErrTooLarge, limit)
	}
	data, err := os.ReadFile(path)
	return data, info, err
}

// Write replaces the file, or makes it, with mode 0600. Readers see either the old contents or the new ones, also after
// a crash or a loss of power. A crash may leave a file .NAME.tmp-*, which nothing reads.
func Write(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if runtime.GOOS == "windows" {
		return nil // can't sync a directory
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock takes the exclusive lock of the file at path. It makes the file if it is missing and never removes it, because
// then two processes could hold the lock. After 10 s it fails with [ErrLocked]. It excludes other callers in the same
// process too. The system frees the lock of a process that dies.
func Lock(path string) (release func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	lock := flock.New(path)
	if _, err = lock.TryLockContext(ctx, 10*time.Millisecond); errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%s: %w", path, ErrLocked)
	}
	return func() { _ = lock.Close() }, err
}
