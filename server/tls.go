package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/lobby"
	"github.com/sallyport/sallyport/server/secure"
	"github.com/sallyport/sallyport/server/socket"
)

// SetTLSConfig replaces the certificate of a running server for new connections. Running sessions go on,
// and tickets of the old certificate become invalid.
func (s *Server) SetTLSConfig(config *tls.Config) error {
	secured, err := secure.New(config)
	if err == nil {
		s.tls.Store(secured)
	}
	return err
}

// handshake does the TLS handshake under the deadline of the login. If the server ended it, the error is a
// reply. The log has a connection only from here on: strangers that make room before count as refused.
func (c *conn) handshake() error {
	c.raw.Wait = socket.Wait{By: c.loginBy, Flags: anyFlag}
	// A context that can be cancelled would cost a goroutine. The deadline and wake do the same.
	err := c.tls.HandshakeContext(context.Background())
	if dropped := c.dropped(); err != nil && dropped != nil {
		return dropped
	}
	c.srv.Audit.Info("conn.accept", c.id).Str("remote", c.raw.RemoteAddr().String()).Send()
	if err != nil {
		end, record := err, c.srv.Audit.Warn
		switch {
		case errors.Is(err, socket.ErrWoken):
			end = errShutdown
		case errors.Is(err, socket.ErrDeadline), errors.Is(err, os.ErrDeadlineExceeded): // of a read, of a write
			end = errLoginTimeout
		case !c.raw.Heard: // it has looked whether the port is open
			record = c.srv.Audit.Info
		}
		record("tls.fail", c.id).Str("error", fmt.Sprintf("%.200s", err)).Send()
		return end
	}
	c.place.Reach(lobby.Greeted)
	state := c.tls.ConnectionState()
	c.native = state.NegotiatedProtocol == protocol.ALPN
	c.srv.Audit.Info("tls.handshake", c.id).
		Str("version", tls.VersionName(state.Version)).
		Str("cipher", tls.CipherSuiteName(state.CipherSuite)).
		Str("curve", state.CurveID.String()).
		Bool("resumed", state.DidResume).
		Str("alpn", state.NegotiatedProtocol).Send()
	return nil
}

// bindings returns the channel bindings of this connection.
func (c *conn) bindings() []scram.ChannelBinding { return c.secured.Bindings(c.tls.ConnectionState()) }
