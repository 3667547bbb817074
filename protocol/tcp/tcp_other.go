//go:build !linux

package tcp

import (
	"net"
	"time"
)

// SetUserTimeout does nothing: only Linux can bound how long sent bytes may stay unacknowledged.
func SetUserTimeout(net.Conn, time.Duration) {}

// Dead reports false: only Linux says when the peer has last acknowledged something.
func Dead(net.Conn, time.Duration) bool { return false }
