package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"time"
)

// A floor is a server that does with a connection what nothing can do without: a
// TLS handshake, one octet, and an orderly end.
type floor struct {
	tls *tls.Config // nil: without TLS
	// talk is so many octets of a request, then of its reply, for each round trip
	// that follows.
	talk [][2]int
	tap  *tap // nil: nobody watches
}

// hello is what the client of a floor waits for, and how the product's greeting
// ends.
const hello = "\n"

// start returns the address of the floor.
func (f floor) start(t T) string {
	t.Helper()
	l := Listen(t)
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(raw)
		}
	}()
	return l.Addr().String()
}

func (f floor) serve(raw net.Conn) {
	defer raw.Close()
	if setSocket(raw) != nil {
		return
	}
	raw = f.tap.over(raw, "server")
	if f.tls == nil {
		_, _ = io.WriteString(raw, hello)
		return
	}
	c := tls.Server(raw, f.tls)
	if c.HandshakeContext(context.Background()) != nil || f.converse(c) != nil {
		return
	}
	// As the product ends a connection: close_notify, FIN, then the peer's FIN.
	if c.CloseWrite() == nil {
		_ = raw.(interface{ CloseWrite() error }).CloseWrite()
		_, _ = io.Copy(io.Discard, raw)
	}
}

// converse says hello, answers, and returns when the client has no more to say.
func (f floor) converse(c *tls.Conn) error {
	if _, err := io.WriteString(c, hello); err != nil {
		return err
	}
	buf := make([]byte, 512)
	for _, octets := range f.talk {
		if _, err := io.ReadFull(c, buf[:octets[0]]); err != nil {
			return err
		}
		if _, err := c.Write(buf[:octets[1]]); err != nil {
			return err
		}
	}
	if _, err := c.Read(buf); err != io.EOF {
		return fmt.Errorf("more than there was to say: %w", err)
	}
	return nil
}

// vanish is the product's default for when a dead peer is noticed.
const vanish = 30 * time.Second

// setSocket sets what the product sets on a connection that it has accepted.
func setSocket(c net.Conn) error {
	tcp := c.(*net.TCPConn)
	probes := net.KeepAliveConfig{Enable: true, Idle: vanish / 2, Interval: vanish / 6, Count: 3}
	if err := tcp.SetKeepAliveConfig(probes); err != nil {
		return err
	}
	return setUserTimeout(tcp)
}

// greeted reads what the server says first.
func greeted(c net.Conn) error {
	var buf [128]byte
	n, err := c.Read(buf[:])
	if err == nil && !bytes.HasSuffix(buf[:n], []byte(hello)) {
		err = fmt.Errorf("greeted with %q", buf[:n])
	}
	return err
}

// leave ends a connection and waits for the server to end it as well. The server
// is left to send the first FIN, so that its side keeps the TIME_WAIT, and not one
// of the client's ports.
func leave(c *tls.Conn) error {
	defer c.NetConn().Close()
	if err := c.CloseWrite(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, c.NetConn())
	return err
}

var errUnsettled = errors.New("a server works on long after its client has left")

// settle waits until no more goroutines are there than so many. A connection's
// own is the last of it: the next step pays for nothing of the one before.
func settle(goroutines int) error {
	for start := time.Now(); runtime.NumGoroutine() > goroutines; {
		switch took := time.Since(start); {
		case took > 10*time.Second:
			return errUnsettled
		case took > time.Millisecond:
			time.Sleep(100 * time.Microsecond)
		default:
			runtime.Gosched()
		}
	}
	return nil
}
