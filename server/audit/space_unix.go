//go:build linux || darwin || freebsd

package audit

import (
	"os"
	"syscall"
)

// disk returns the bytes that are free on the disk of a file for users who are not root, and its size.
func disk(f *os.File) (free, size int64, err error) {
	var info syscall.Statfs_t
	err = syscall.Fstatfs(int(f.Fd()), &info)
	return int64(info.Bavail) * int64(info.Bsize), int64(info.Blocks) * int64(info.Bsize), err
}
