//go:build unix

package state

import (
	"os"
	"syscall"
)

// ownedByUs reports whether the user of this process owns a file.
func ownedByUs(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
