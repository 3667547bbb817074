package bench

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/specs/harness"
)

// An echo is a floor: a server that answers the same octets with the same
// octets, and nothing else.
type echo struct {
	request, reply string
	plain          bool      // without TLS
	record         io.Writer // gets a record before each reply, unless nil
	size           int       // of the record
}

// start returns a connection to the server.
func (e echo) start(t T) net.Conn {
	t.Helper()
	l := Listen(t)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		defer raw.Close()
		if setSocket(raw) != nil {
			return
		}
		if e.plain {
			e.serve(raw)
		} else {
			e.serve(tls.Server(raw, serverTLS(harness.ECDSA)))
		}
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	if e.plain {
		return raw
	}
	c := tls.Client(raw, clientTLS(harness.ECDSA))
	if err := c.Handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return c
}

func (e echo) serve(c net.Conn) {
	in, out, record := make([]byte, len(e.request)), []byte(e.reply), make([]byte, e.size)
	for {
		if _, err := io.ReadFull(c, in); err != nil {
			return
		}
		if e.record != nil {
			if _, err := e.record.Write(record); err != nil {
				return
			}
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// rig measures round trips of so many operations each.
func (e echo) rig(t T, ops int) *Rig {
	c := e.start(t)
	out, in := []byte(e.request), make([]byte, len(e.reply))
	return &Rig{Ops: ops, Step: func() (time.Duration, error) {
		start := time.Now()
		if _, err := c.Write(out); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(c, in); err != nil {
			return 0, err
		}
		took := time.Since(start)
		if in[0] != e.reply[0] || in[len(in)-1] != e.reply[len(in)-1] {
			return 0, fmt.Errorf("answered %.60q", in)
		}
		return took, nil
	}}
}

// Listen is where a floor or a peer is served. Go's listener sets TCP_NODELAY, as
// for the product.
func Listen(t T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// serverTLS is what the product makes of its configuration, without its checks.
func serverTLS(key harness.Key) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{harness.Certificate(key)}, MinVersion: tls.VersionTLS13,
		NextProtos: []string{protocol.ALPN}, DynamicRecordSizingDisabled: true,
	}
}

// clientTLS trusts that server, and is what a native client makes of that.
func clientTLS(key harness.Key) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(harness.Certificate(key).Leaf)
	return &tls.Config{
		RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS13,
		NextProtos: []string{protocol.ALPN}, DynamicRecordSizingDisabled: true,
	}
}
