//go:build !(cgo && unix)

package main

// closedAtStart reports whether the process was started without standard output. Go alone
// can't know it.
func closedAtStart() bool { return false }
