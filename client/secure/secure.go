// Package secure makes the TLS connection of a client: TLS 1.3 by default, the ALPN id of the protocol, a verified
// certificate, and an end that can't be forged.
package secure

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/protocol/tcp"
)

// ErrCut means that the server's host, or something on the way, has ended the connection without a close_notify, so
// bytes may be missing.
var ErrCut = fmt.Errorf("no close_notify: %w", io.ErrUnexpectedEOF)

// Dial connects to addr ("host:port") with dial, and runs the handshake. A nil dial means DialTCP, a nil base the
// system's roots. client.Dialer.TLSConfig says which fields of base count. An error quotes nothing that the server sent
// in the clear.
func Dial(ctx context.Context, addr string, base *tls.Config, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*tls.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	config, err := tlsConfig(base, host)
	if err != nil {
		return nil, err
	}
	if dial == nil {
		dial = DialTCP
	}
	raw, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(&strict{Conn: raw}, config)
	if err = conn.HandshakeContext(ctx); err == nil {
		err = Acceptable(conn.ConnectionState())
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// DialTCP makes a TCP connection that finds a dead server in 30 s. A server that leaves the client's window
// closed for that long is dead too, except in a stream.
func DialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, addr)
	if err == nil {
		tcp.FindDead(conn, 30*time.Second, 0)
	}
	return conn, err
}

// Below returns what the caller's dial returned, if Dial made the connection.
func Below(conn *tls.Conn) net.Conn {
	if c, ok := conn.NetConn().(*strict); ok {
		return c.Conn
	}
	return conn.NetConn()
}

// strict turns an end without close_notify into an error, for which crypto/tls reports io.EOF. It refuses
// a first byte that begins no alert and no handshake (RFC 8446 §5.1), because crypto/tls waits for five.
type strict struct {
	net.Conn
	begun bool
	held
}

func (c *strict) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.begun && p[0] != 21 && p[0] != 22 {
		return 0, errors.New("the server does not speak TLS")
	}
	c.begun = c.begun || n > 0
	if err == io.EOF {
		err = ErrCut
	}
	return n, err
}

// tlsConfig returns the configuration for a host.
func tlsConfig(base *tls.Config, host string) (*tls.Config, error) {
	config := cmp.Or(base, &tls.Config{}).Clone()
	if config.InsecureSkipVerify {
		return nil, errors.New("InsecureSkipVerify is not allowed")
	}
	if config.MinVersion != tls.VersionTLS12 {
		config.MinVersion = tls.VersionTLS13
	}
	name, _, _ := strings.Cut(host, "%") // the zone means nothing elsewhere (RFC 4007 §11.2)
	config.ServerName = cmp.Or(config.ServerName, name)
	config.NextProtos = []string{protocol.ALPN}
	config.Renegotiation = tls.RenegotiateNever
	config.DynamicRecordSizingDisabled = true // a batch of requests is one record, and one write
	return config, nil
}

// Acceptable refuses connections that TLS can negotiate but Sallyport must not use.
func Acceptable(state tls.ConnectionState) error {
	if state.NegotiatedProtocol != protocol.ALPN {
		return errors.New("the server does not speak " + protocol.ALPN)
	}
	if state.Version >= tls.VersionTLS13 {
		return nil
	}
	if _, err := scram.TLSExporter(state.ExportKeyingMaterial); err != nil {
		return errors.New("TLS 1.2 without extended master secret (RFC 7627)")
	}
	return nil
}
