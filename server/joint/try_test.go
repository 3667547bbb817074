package joint

import (
	"io"
	"testing"
)

// tryDevice takes at most some bytes without waiting. What it takes so goes the same way as other bytes.
type tryDevice struct {
	*device
	most int
}

func (d tryDevice) TryWrite(p []byte) int {
	n, _ := d.out.Write(p[:min(len(p), d.most)])
	d.note("tried %d", n)
	return n
}

// TestTryWrite: a backend that takes some bytes at once gets the others in order, and no byte twice.
func TestTryWrite(t *testing.T) {
	t.Parallel()
	for most, tried := range map[int]string{0: "tried 0 tried 0 ", 3: "tried 3 tried 3 ", 64: "tried 6 tried 5 "} {
		start(t, func(d *device) io.ReadWriteCloser { return tryDevice{d, most} }, func(w *world) {
			w.says("DATA 6\r\n*IDN?\n")
			w.takes("*IDN?\n")
			w.says("DATA 5\r\n*RST\n")
			w.takes("*RST\n")
			w.says("PING\r\n")
			w.hears("153 11")
			w.says("DATA 0\r\n")
			w.hears("151 ")
			w.ends(End{In: 11, Ended: true}, tried+"close")
		})
	}
}

// TestTryWriteOrder: nothing is tried while other bytes wait.
func TestTryWriteOrder(t *testing.T) {
	t.Parallel()
	q := newQueue()
	copy(q.space(), "wait")
	q.add(4, 0)
	if q.idle() {
		t.Error("the queue is idle before the backend has taken its bytes")
	}
	if p, _ := q.next(); string(p) != "wait" {
		t.Errorf("%q", p)
	}
	if q.took(4); !q.idle() {
		t.Error("the queue is not idle afterwards")
	}
	if q.drop(); q.idle() {
		t.Error("a queue that drops its bytes is idle")
	}
}
