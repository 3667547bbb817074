//go:build !linux

package main

import "net"

// connected reports that a use lasts until its goroutine has seen its end.
func connected(net.Conn) bool { return true }
