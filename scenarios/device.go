package scenarios

import (
	"fmt"
	"io"
	"net"
	"sync"
)

// A device is a backend in one stream. It has what a serial line and a terminal have.
type device struct {
	kind     string
	happened func()
	watched  func(p []byte) // gets all that the server has read

	mu      sync.Mutex
	changed *sync.Cond
	in      unheard  // from the client
	told    []string // what came beside data, and was not heard
	out     []byte   // to the client, not taken by the server
	end     error    // follows out
	closed  bool
	fault   error // of the server
}

func newDevice(kind string, happened func()) *device {
	d := &device{kind: kind, happened: happened}
	d.changed = sync.NewCond(&d.mu)
	return d
}

// halfCloser is a device that notices the end of the client's direction.
type halfCloser struct{ *device }

func (d halfCloser) CloseWrite() error {
	if d.kind == "echo" {
		return d.stop(io.EOF)
	}
	return d.tell("end")
}

// keptOpen is a device that the end of a stream leaves open. It knows no reset.
type keptOpen struct{ io.ReadWriteCloser }

func (keptOpen) Kept() bool { return true }

// recorded is a device with output from before the stream.
type recorded struct{ keptOpen }

func (recorded) Backlog() []byte { return []byte(backlog) }

// backlog is the output of a recorded device before the stream. Watchers get it first.
const backlog = "before"

// Write blocks while the script has much to hear.
func (d *device) Write(p []byte) (int, error) {
	defer d.happened()
	d.mu.Lock()
	defer d.mu.Unlock()
	for !d.closed && d.end != errBroken && (len(d.in) >= maxUnheard || len(d.out) >= maxUnheard && d.kind == "echo") {
		d.changed.Wait()
	}
	switch {
	case d.closed:
		return 0, net.ErrClosed
	case d.end == errBroken:
		return 0, errBroken
	case d.kind == "echo":
		d.out = append(d.out, p...)
	default:
		d.in = append(d.in, p...)
	}
	d.changed.Broadcast()
	return len(p), nil
}

func (d *device) Read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.out) == 0 && d.end == nil && !d.closed {
		d.changed.Wait()
	}
	switch {
	case d.closed:
		return 0, net.ErrClosed
	case len(d.out) == 0:
		return 0, d.end
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	d.watched(p[:n])
	d.changed.Broadcast()
	return n, nil
}

// stop ends the backend's direction.
func (d *device) stop(end error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.end != nil {
		return fmt.Errorf("the backend has ended before: %w", d.end)
	}
	d.end = end
	d.changed.Broadcast()
	return nil
}

// tell notes what comes beside data.
func (d *device) tell(what string) error {
	defer d.happened()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, what)
	return nil
}

func (d *device) Reset() error { return d.tell("reset") }
func (d *device) Break() error { return d.tell("break") }

func (d *device) SetLine(speed int, form string) error {
	return d.tell(fmt.Sprintf("line %d,%s", speed, form))
}

func (d *device) SetWindow(columns, rows int) error {
	return d.tell(fmt.Sprintf("window %d %d", columns, rows))
}

func (d *device) Close() error {
	d.mu.Lock()
	d.closed = true
	d.changed.Broadcast()
	d.mu.Unlock()
	return d.tell("closed")
}

// fails notes a fault of the server if the stream is not over, and reports that.
func (d *device) fails(fault error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.fault = fault
	return true
}
