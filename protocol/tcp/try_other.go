//go:build !unix

package tcp

// Trier writes to a socket without waiting, which this system has no simple call for. It writes nothing.
type Trier struct{}

// NewTrier returns nil.
func NewTrier(any) *Trier { return nil }

// Try returns 0.
func (*Trier) Try([]byte) int { return 0 }
