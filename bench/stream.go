package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"

	"github.com/sallyport/sallyport/client/stream"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
)

const (
	// StreamSize is the number of bytes that one operation of Move moves.
	StreamSize = 64 << 20
	// EchoSize is the number of bytes that a Device echoes.
	EchoSize = 64
	chunk    = 64 << 10 // size of all buffers
)

// streams move bytes up to a backend, which confirms them with one byte, or down from it, after one byte. The floor
// is bare TLS to a server that copies between the client and the same backend.
func streams() Group {
	g := Group{Name: "Stream", Rounds: 20}
	for _, way := range []string{"up", "down"} {
		add := func(of string, start func(T) io.ReadWriter) {
			name := fmt.Sprintf("way=%s/size=64MiB/of=%s", way, of)
			g.Subjects = append(g.Subjects, Subject{name, StreamSize, func(t T) *Rig { return Move(start(t), way) }})
		}
		add("sallyport", streamed)
		add("tls", copied)
	}
	return g
}

// Move is a rig that moves bytes up to a Device or down from it.
func Move(c io.ReadWriter, way string) *Rig {
	buffer := make([]byte, chunk)
	return Timed(1, func() error {
		buffer[0] = way[0]
		if way == "down" {
			if _, err := c.Write(buffer[:1]); err != nil {
				return err
			}
			return drain(c, buffer, StreamSize)
		}
		for range StreamSize / chunk {
			if _, err := c.Write(buffer); err != nil {
				return err
			}
		}
		return drain(c, buffer, 1)
	})
}

// drain reads n bytes.
func drain(r io.Reader, buffer []byte, n int) error {
	for n > 0 {
		got, err := r.Read(buffer[:min(n, len(buffer))])
		if n -= got; err != nil && n > 0 {
			return err
		}
	}
	return nil
}

// Device is a backend. The first byte of each exchange says what follows: u for bytes up, d for bytes down, and
// anything else for EchoSize bytes, which come back.
func Device(c *net.TCPConn) {
	defer c.Close()
	buffer := make([]byte, chunk)
	for {
		if _, err := io.ReadFull(c, buffer[:1]); err != nil {
			return
		}
		if serveDevice(c, buffer) != nil {
			return
		}
	}
}

func serveDevice(c *net.TCPConn, buffer []byte) error {
	switch buffer[0] {
	case 'u':
		if err := drain(c, buffer, StreamSize-1); err != nil {
			return err
		}
		_, err := c.Write(buffer[:1])
		return err
	case 'd':
		for range StreamSize / chunk {
			if _, err := c.Write(buffer); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := io.ReadFull(c, buffer[1:EchoSize]); err != nil {
		return err
	}
	_, err := c.Write(buffer[:EchoSize])
	return err
}

// streamed is a stream of the product to the device.
func streamed(t T) io.ReadWriter {
	t.Helper()
	addr := Serve(t, Device)
	h := serve(t, fileLog(t), func(s *server.Server) {
		s.Backend = func(ctx context.Context, _ *server.Request) (io.ReadWriteCloser, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	})
	c, err := newUser(t, h, scram.MinIterations, nil).login()
	Check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	s, err := stream.Open(context.Background(), c)
	Check(t, err)
	_, err = Move(s, "down").Step() // afterwards all goroutines of the stream run
	Check(t, err)
	return s
}

// copied is a TLS connection to a server that copies to the device and back.
func copied(t T) io.ReadWriter {
	t.Helper()
	addr := Serve(t, Device)
	c, err := tls.Dial("tcp", Serve(t, func(raw *net.TCPConn) { relay(raw, addr) }), ClientTLS(testserver.ECDSA))
	Check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func relay(raw *net.TCPConn, addr string) {
	backend, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	c := tls.Server(raw, ServerTLS(testserver.ECDSA))
	go pump(backend, c)
	pump(c, backend)
}

// pump copies until either end has ended, and closes both.
func pump(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, chunk)
	for {
		n, err := from.Read(buffer)
		if err == nil {
			_, err = to.Write(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}
