//go:build linux

package main

import (
	"os"
	"path/filepath"
	"syscall"
)

// Sizes of disks. A file of etcd's own log has 64 MB, unless runNode makes it smaller.
const (
	smallDisk = "48m"
	etcdDisk  = "256m"
)

// mountDisk makes a directory that is a small disk of its own, if this is root.
func mountDisk(dir, size string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil || os.Geteuid() != 0 {
		return err
	}
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0700")
}

// fillDisk writes until the disk is full.
func fillDisk(dir string) error {
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 16 {
		for block := make([]byte, size); ; {
			if _, err := f.Write(block); err != nil {
				break
			}
		}
	}
	return nil
}

func emptyDisk(dir string) error { return os.Remove(filepath.Join(dir, "filler")) }
