//go:build !linux

package forward

import "net"

// awaitLeft waits for stop: only Linux says whether a program has left.
func awaitLeft(_ net.Conn, stop <-chan struct{}) bool {
	<-stop
	return false
}

// lookAt returns that the program is here.
func lookAt(net.Conn) presence { return here }

// unsent returns -1: only Linux says what the kernel has not sent.
func unsent(net.Conn) int { return -1 }
