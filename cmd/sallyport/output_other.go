//go:build !(cgo && unix)

package main

// closedAtStart returns false. Without cgo a program can't find out whether it was started
// without standard output.
func closedAtStart() bool { return false }
