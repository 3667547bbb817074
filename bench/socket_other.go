//go:build !linux

package bench

import "net"

// setUserTimeout is for Linux, as in the product.
func setUserTimeout(*net.TCPConn) error { return nil }
