//go:build !unix

package forward

import "net"

// listenPrivately makes a Unix socket: this system has no modes.
func listenPrivately(path string) (net.Listener, error) { return net.Listen("unix", path) }
