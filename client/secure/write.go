package secure

import (
	"crypto/tls"
	"sync"
)

const (
	// maxRecord is the maximum content of a TLS record in bytes (RFC 8446 §5.1).
	maxRecord = 16 << 10
	// maxHeld is about how many bytes of records Write passes on at once.
	maxHeld = 64 << 10
)

// Write writes p to a connection that Dial has made. crypto/tls writes each record by itself; Write passes on all
// records of up to 64 KiB in one system call. The copy that this takes is cheaper than the system calls and the
// wake-ups of the other process. A failed write is the error of all later ones.
func Write(conn *tls.Conn, p []byte) (int, error) {
	c, ok := conn.NetConn().(*strict)
	if !ok || len(p) <= maxRecord {
		return conn.Write(p)
	}
	c.setHolding(true)
	n, err := conn.Write(p)
	if e := c.setHolding(false); err == nil && e != nil {
		return 0, e
	}
	return n, err
}

// held are the records that Write has not passed on.
type held struct {
	mu      sync.Mutex
	holding bool
	records []byte
	err     error
}

// Write writes a record, or holds it back.
func (c *strict) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return 0, c.err
	case !c.holding:
		return c.Conn.Write(p)
	}
	if c.records = append(c.records, p...); len(c.records) >= maxHeld {
		c.pass()
	}
	return len(p), c.err
}

// setHolding begins or ends the holding back of records. Its end passes on what was held back.
func (c *strict) setHolding(holding bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holding = holding; !holding {
		c.pass()
	}
	return c.err
}

func (c *strict) pass() {
	if c.err == nil && len(c.records) > 0 {
		_, c.err = c.Conn.Write(c.records)
	}
	c.records = c.records[:0]
}
