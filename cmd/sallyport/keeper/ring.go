package keeper

// ring has the last bytes that were added, up to size.
type ring struct {
	size int
	data []byte
	next int // where the next byte goes when data is full
}

func (r *ring) add(p []byte) {
	p = p[max(0, len(p)-r.size):]
	n := min(r.size-len(r.data), len(p))
	r.data = append(r.data, p[:n]...)
	for p = p[n:]; len(p) > 0; p = p[n:] {
		n = copy(r.data[r.next:], p)
		r.next = (r.next + n) % r.size
	}
}

// bytes returns a copy, oldest first.
func (r *ring) bytes() []byte {
	return append(append(make([]byte, 0, len(r.data)), r.data[r.next:]...), r.data[:r.next]...)
}
