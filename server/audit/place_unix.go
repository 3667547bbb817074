//go:build unix

package audit

import (
	"os"
	"syscall"
)

// place is the path of an open file. It tells whether the file is still there.
type place struct {
	name      string
	path      *byte // name, as a system call takes it
	own, seen syscall.Stat_t
}

func placeOf(f *os.File) (p *place, err error) {
	p = &place{name: f.Name()}
	if p.path, err = syscall.BytePtrFromString(p.name); err != nil {
		return nil, err
	}
	return p, syscall.Fstat(int(f.Fd()), &p.own)
}

// look returns the size of the file, and whether its path still leads to it. It is one system call, because
// every request pays for it.
func (p *place) look() (size int64, same bool) {
	err := p.stat()
	return p.seen.Size, err == nil && p.seen.Ino == p.own.Ino && p.seen.Dev == p.own.Dev
}

// linked reports whether a file has a name somewhere, as it has after it was moved.
func linked(f *os.File) bool {
	var info syscall.Stat_t
	return syscall.Fstat(int(f.Fd()), &info) == nil && info.Nlink > 0
}
