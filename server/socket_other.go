//go:build !linux

package server

import (
	"net"
	"time"
)

// setUserTimeout is for Linux; elsewhere keep-alive has to do.
func setUserTimeout(*net.TCPConn, time.Duration) {}
