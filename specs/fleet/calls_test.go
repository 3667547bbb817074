package fleet

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counter passes connections on to etcd, and counts the calls. While held is locked nothing passes, and no connection
// ends.
type counter struct {
	listener net.Listener
	calls    atomic.Int64
	held     sync.RWMutex
}

// end is an end of a connection.
type end struct {
	io.Writer
	held *sync.RWMutex
}

func (e end) Write(p []byte) (int, error) {
	e.held.RLock()
	defer e.held.RUnlock()
	return e.Writer.Write(p)
}

func (e *etcd) counter() *counter {
	e.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = listener.Close() })
	c := &counter{listener: listener}
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", e.endpoint)
			if err != nil {
				_ = near.Close()
				return
			}
			go func() {
				_, _ = io.Copy(end{near, &c.held}, far)
				_ = near.Close()
			}()
			go func() {
				_ = c.pass(end{far, &c.held}, near)
				_ = far.Close()
			}()
		}
	}()
	return c
}

// pass copies the frames of HTTP/2 (RFC 9113 §4.1) from a client. A call begins with a HEADERS frame (§6.2), and gRPC's
// client sends no other.
func (c *counter) pass(dst io.Writer, src io.Reader) error {
	const preface, header, headers = 24, 9, 1
	if _, err := io.CopyN(dst, src, preface); err != nil {
		return err
	}
	for frame := make([]byte, header); ; {
		if _, err := io.ReadFull(src, frame); err != nil {
			return err
		}
		if frame[3] == headers {
			c.calls.Add(1)
		}
		if _, err := dst.Write(frame); err != nil {
			return err
		}
		length := binary.BigEndian.Uint32(append([]byte{0}, frame[:3]...))
		if _, err := io.CopyN(dst, src, int64(length)); err != nil {
			return err
		}
	}
}

// A login waits for one call. When the client has left, there is another one.
func TestCallsPerLogin(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	c := e.counter()
	one := newGate(t, open(t, "etcd://"+c.listener.Addr().String()+"/lab"), "1")
	session := func() {
		alice := one.asks("alice")
		alice.at("0 alice")
		alice.Leave()
		alice.until("free", func() bool { return one.Status().Holder == "" })
	}
	session() // and the lease
	const sessions = 50
	before, began := c.calls.Load(), time.Now()
	for range sessions {
		session()
	}
	calls, renewals := c.calls.Load()-before, int64(time.Since(began)/(2*time.Second))+1
	if least, most := int64(2*sessions), 2*sessions+renewals; calls < least || calls > most {
		t.Errorf("%d calls for %d sessions, want %d to %d", calls, sessions, least, most)
	}
}

// A member of etcd that is stopped, or is cut off, leaves the connections to it as they are. The copy of the queue does
// not stay old for long.
func TestSeatWhoseMemberOfEtcdIsSilent(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	paths := []*counter{e.counter(), e.counter()}
	url := fmt.Sprintf("etcd://%s,%s/lab", paths[0].listener.Addr(), paths[1].listener.Addr())
	one, two := newGate(t, open(t, url), "1"), e.gate("2")
	bob, holder := two.asks("bob"), "bob"
	for i, path := range paths { // one of them has the watch
		alice := one.asks(fmt.Sprint("alice", i))
		alice.at("1 " + holder)
		path.held.Lock()
		began := time.Now()
		bob.Leave()
		alice.at(fmt.Sprintf("0 alice%d", i))
		took := time.Since(began)
		path.held.Unlock()
		if took > 12*time.Second {
			t.Errorf("the next client has the seat after %v", took)
		}
		bob = two.asks(fmt.Sprint("bob", i))
		holder = fmt.Sprint("bob", i)
		alice.Leave()
		bob.at("0 " + holder)
	}
}
