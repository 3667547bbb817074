package testserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/sallyport/sallyport/protocol"
)

// Checked returns a connection that reads raw and reports its end as [io.ErrUnexpectedEOF]. crypto/tls
// takes an end between two records for a close_notify: with TLS on a checked connection, only a
// close_notify is [io.EOF].
func Checked(raw net.Conn) net.Conn { return checked{raw} }

type checked struct{ net.Conn }

func (c checked) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		err = fmt.Errorf("no close_notify: %w", io.ErrUnexpectedEOF)
	}
	return n, err
}

// CloseWrite ends one direction of the connection.
func (c checked) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// Conn is a TLS connection for single lines, so that a test can send lines that no correct client or server
// sends.
type Conn struct {
	*tls.Conn
	// In reads the connection.
	In *protocol.Reader
}

// Connect connects as a native client does, and returns after the handshake.
func (s *Server) Connect(ctx context.Context) (*Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, err
	}
	return ClientConn(ctx, raw, &tls.Config{RootCAs: s.Roots, NextProtos: []string{protocol.ALPN}})
}

// ClientConn makes a TLS handshake on raw, as the client. An empty ServerName in config means localhost.
// An error closes raw.
func ClientConn(ctx context.Context, raw net.Conn, config *tls.Config) (*Conn, error) {
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = "localhost"
	}
	return newConn(ctx, tls.Client(Checked(raw), config))
}

// ServerConn makes a TLS handshake on raw, as the server. An error closes raw.
func ServerConn(ctx context.Context, raw net.Conn, config *tls.Config) (*Conn, error) {
	return newConn(ctx, tls.Server(Checked(raw), config))
}

func newConn(ctx context.Context, conn *tls.Conn) (*Conn, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.NetConn().Close())
	}
	return &Conn{conn, protocol.NewReader(conn)}, nil
}

// Send sends lines, each with CRLF, in one TLS record if they fit.
func (c *Conn) Send(lines ...string) error {
	_, err := io.WriteString(c.Conn, strings.Join(lines, "\r\n")+"\r\n")
	return err
}

// Line reads one line. Its error is [io.EOF] only after a close_notify.
func (c *Conn) Line() (string, error) {
	line, err := c.In.ReadLine()
	return string(line), err
}
