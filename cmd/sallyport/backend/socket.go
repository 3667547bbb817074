package backend

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/sallyport/sallyport/protocol/tcp"
)

// socket is a TCP or Unix-socket service.
type socket struct{ network, address string }

func parseSocket(network, address string) (opener, error) {
	if network == "tcp" {
		_, port, err := net.SplitHostPort(address)
		if err == nil {
			_, err = net.LookupPort(network, port)
		}
		if err != nil {
			return nil, usagef("--backend tcp:HOST:PORT: %v", err)
		}
	}
	return socket{network, address}, nil
}

func (s socket) check(ctx context.Context) error { return checkByOpening(ctx, s) }

func (s socket) open(ctx context.Context, _ Client) (io.ReadWriteCloser, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, s.network, s.address)
	try := trier{tcp.NewTrier(conn)}
	switch c := conn.(type) {
	case *net.TCPConn:
		return tcpConn{c, try}, err
	case *net.UnixConn:
		return unixConn{c, try}, err
	}
	return nil, err
}

// trier is the TryWriter of a socket, see package joint.
type trier struct{ *tcp.Trier }

func (t trier) TryWrite(p []byte) int { return t.Try(p) }

type tcpConn struct {
	*net.TCPConn
	trier
}

// Reset closes the connection with a TCP reset.
func (c tcpConn) Reset() error { return errors.Join(c.SetLinger(0), c.Close()) }

type unixConn struct {
	*net.UnixConn
	trier
}

// Reset closes the connection: these have no reset.
func (c unixConn) Reset() error { return c.Close() }
