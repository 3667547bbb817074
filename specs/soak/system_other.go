//go:build !linux

package main

import (
	"net"
	"os/exec"
)

// endWithParent does nothing here.
func endWithParent(*exec.Cmd) {}

// connected reports that a use lasts until its goroutine has seen its end.
func connected(net.Conn) bool { return true }
