//go:build unix

package hosts

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkWriters returns an ErrWritable if others than the user and root can change the file.
func checkWriters(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%s: %w (mode %04o): check it, then chmod 600 it", path, ErrWritable, mode)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 && int64(owner) != int64(os.Getuid()) {
		return fmt.Errorf("%s: %w (its owner is user %d): check it, then chown it to yourself", path, ErrWritable, owner)
	}
	return nil
}
