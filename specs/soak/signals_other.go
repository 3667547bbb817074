//go:build !unix

package main

import "syscall"

// A process can't be stopped for a moment here.
const (
	sigstop = syscall.Signal(0)
	sigcont = syscall.Signal(0)
)
