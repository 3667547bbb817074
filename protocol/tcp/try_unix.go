//go:build unix

package tcp

import "syscall"

// Trier writes to a socket without waiting. One goroutine at a time uses it. A nil Trier writes nothing.
type Trier struct {
	raw   syscall.RawConn
	write func(fd uintptr) bool
	p     []byte
	n     int
}

// NewTrier returns a Trier for a connection, or nil if the connection does not give access to its socket.
func NewTrier(conn any) *Trier {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	t := &Trier{raw: raw}
	t.write = func(fd uintptr) bool {
		t.n, _ = syscall.Write(int(fd), t.p)
		return true // don't wait for room
	}
	return t
}

// Try writes as much of p as the socket takes at once, and returns how much. After an error that is 0: the next Write
// to the connection returns the error.
func (t *Trier) Try(p []byte) int {
	if t == nil {
		return 0
	}
	t.p, t.n = p, 0
	_ = t.raw.Write(t.write)
	t.p = nil
	return max(t.n, 0)
}
