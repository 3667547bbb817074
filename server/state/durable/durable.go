// Package durable reads, replaces and locks the small files of a state directory. [Write] leaves either the
// old file or the new one, even after a crash. [Lock] keeps two processes from changing a file at once.
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
	ErrTooLarge = errors.New("durable: file too large")
	// ErrLocked means that another process kept a lock for too long.
	ErrLocked = errors.New("durable: locked by another process for too long, try again")
)

// Read returns the contents of a regular file, and its state before it was opened. The error is [ErrTooLarge]
// if the file has more than limit bytes. Read refuses other files, because a pipe could block for ever.
func Read(path string, limit int64) ([]byte, os.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("durable: not a regular file: %s", path)
	case info.Size() > limit:
		return nil, nil, fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, path, limit)
	}
	data, err := os.ReadFile(path)
	return data, info, err
}

// Write replaces the file, or makes it, with mode 0600. Readers see the old contents or the new ones, never a
// part, also after a crash or a loss of power. A crash can leave a file .NAME.tmp-* behind, which does no
// harm.
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

// Lock takes the exclusive lock of the file at path. It makes a missing file, and never removes the file,
// because two callers could then hold the lock. After ten seconds the error is [ErrLocked]. Lock also keeps
// out other callers in the same process. The system frees the lock of a process that ends.
func Lock(path string) (release func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	lock := flock.New(path)
	if _, err = lock.TryLockContext(ctx, 10*time.Millisecond); errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %s", ErrLocked, path)
	}
	return func() { _ = lock.Close() }, err
}
