//go:build linux

package main

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// messageSize is the size of a message: "c07.00012 00000345\n".
const messageSize = 19

// arrival is a message that the device got.
type arrival struct {
	at      time.Time
	session string
	counter string
}

// device is what the gates guard. It notes when which message came.
type device struct {
	listener net.Listener
	path     string // of its Unix socket, which is for commands of hold

	mu       sync.Mutex
	arrivals []arrival
	strange  []string // what is no message
	open     int      // connections
}

func newDevice(path string) (*device, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	beside, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	d := &device{listener: listener, path: path}
	for _, l := range []net.Listener{listener, beside} {
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go d.serve(conn)
			}
		}()
	}
	return d, nil
}

func (d *device) serve(conn net.Conn) {
	defer conn.Close()
	d.count(1)
	defer d.count(-1)
	var rest []byte
	for buf := make([]byte, 64<<10); ; {
		n, err := conn.Read(buf)
		now := time.Now()
		rest = d.note(append(rest, buf[:n]...), now)
		if err != nil {
			return
		}
	}
}

func (d *device) count(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open += n
}

// note notes the messages, and returns the start of one that is not complete.
func (d *device) note(p []byte, now time.Time) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ; len(p) >= messageSize; p = p[messageSize:] {
		session, counter, ok := bytes.Cut(p[:messageSize-1], []byte(" "))
		if !ok || p[messageSize-1] != '\n' || len(session) != len("c07.00012") {
			d.strange = append(d.strange, string(p[:messageSize]))
		}
		d.arrivals = append(d.arrivals, arrival{now, string(session), string(counter)})
	}
	return bytes.Clone(p)
}

// seen returns all arrivals so far.
func (d *device) seen() []arrival {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.arrivals[:len(d.arrivals):len(d.arrivals)]
}

// last returns the session of the latest message.
func (d *device) last() (session string, at time.Time) {
	if all := d.seen(); len(all) > 0 {
		return all[len(all)-1].session, all[len(all)-1].at
	}
	return "", time.Time{}
}

func (d *device) atRest() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open == 0
}
