// Package bench measures Sallyport from outside: whole requests over real
// sockets, with the log on and all limits at their defaults.
package bench

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/specs/harness"
)

// counted counts what the server writes to the socket.
type counted struct {
	net.Listener
	writes atomic.Int64
}

type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countedConn{c, &l.writes}, err
}

func (c countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// BenchmarkRequest is a round trip on an open session. Beside it stands its
// floor: bare crypto/tls that answers the same octets with the same octets.
// The difference in allocations is what the server adds; writes/op is how
// often it writes to the socket.
func BenchmarkRequest(b *testing.B) {
	for _, size := range []int{64, 4096, 65536} {
		request := fmt.Sprintf("BODY %d ECHO\r\n%s", size, strings.Repeat("x", size))
		reply := fmt.Sprintf("251 %d\r\n%s", size, strings.Repeat("x", size))
		b.Run(fmt.Sprintf("size=%d/of=sallyport", size), func(b *testing.B) {
			benchSession(b, request, reply, 1)
		})
		b.Run(fmt.Sprintf("size=%d/of=tls", size), func(b *testing.B) { benchFloor(b, request, reply) })
	}
}

// BenchmarkPipeline sends 64 requests in one write; ns/op is for one of them.
func BenchmarkPipeline(b *testing.B) {
	const window = 64
	b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
		benchSession(b, strings.Repeat("ECHO 0123456789abcdef\r\n", window), strings.Repeat("250 0123456789abcdef\r\n", window), window)
	})
}

// benchSession measures round trips of a batch of so many requests.
func benchSession(b *testing.B, request, reply string, batch int) {
	log, err := audit.Open(filepath.Join(b.TempDir(), "audit.jsonl"), audit.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	var l *counted
	h := harness.StartOn(b, func(s *server.Server) { s.Audit = log }, func(inner net.Listener) net.Listener {
		l = &counted{Listener: inner}
		return l
	})
	h.Eve = nil
	w := h.Wire(b.Context(), true).Seated("alice")
	before := l.writes.Load()
	n := exchange(b, w.Conn, request, reply, batch)
	b.ReportMetric(float64(l.writes.Load()-before)/float64(n), "writes/op")
}

// benchFloor measures the same over TLS alone.
func benchFloor(b *testing.B, request, reply string) {
	pair := harness.Certificate(harness.ECDSA)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in, out := make([]byte, len(request)), []byte(reply)
		for {
			if _, err := io.ReadFull(c, in); err != nil {
				return
			}
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}()
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	exchange(b, c, request, reply, 1)
}

// exchange sends requests and reads replies, and returns how many batches.
func exchange(b *testing.B, c net.Conn, request, reply string, batch int) (batches int) {
	out, in := []byte(request), make([]byte, len(reply))
	b.ReportAllocs()
	b.SetBytes(int64(len(request)+len(reply)) / int64(batch))
	b.ResetTimer()
	for i := 0; i < b.N; i += batch {
		if _, err := c.Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, in); err != nil {
			b.Fatal(err)
		}
		batches++
	}
	b.StopTimer()
	if string(in) != reply {
		b.Fatalf("answered %.60q", in)
	}
	return batches
}
