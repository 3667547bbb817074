package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
)

// extensionMasterSecret is extended_master_secret (RFC 7627).
const extensionMasterSecret = 23

var (
	errNoCertificate  = errors.New("server: TLSConfig has no certificate")
	errNoMasterSecret = errors.New("TLS 1.2 without extended master secret")
)

// tlsState is a configuration with the channel binding of its certificate. Each certificate has its own
// state and ticket keys, so a resumed connection always has the certificate that it was made with.
type tlsState struct {
	config   *tls.Config
	endPoint scram.ChannelBinding // zero if RFC 5929 defines none
}

// SetTLSConfig replaces the certificate of a running server for new connections. Running sessions go on,
// and tickets of the old certificate become invalid.
func (s *Server) SetTLSConfig(config *tls.Config) error {
	if config == nil || len(config.Certificates) == 0 && config.GetCertificate == nil {
		return errNoCertificate
	}
	config = config.Clone()
	config.NextProtos = []string{protocol.ALPN}
	config.GetConfigForClient = refuseWeak
	config.MinVersion = max(cmp.Or(config.MinVersion, tls.VersionTLS13), tls.VersionTLS12)
	config.MaxVersion = 0                     // refuseWeak relies on 1.3 with each client that supports it
	config.DynamicRecordSizingDisabled = true // a batch of replies is one record, and one write
	state := &tlsState{config: config}
	// With several certificates it is unknown which one a client gets.
	if len(config.Certificates) == 1 && config.GetCertificate == nil {
		leaf, err := leafOf(config.Certificates[0])
		if err != nil {
			return err
		}
		state.endPoint, _ = scram.TLSServerEndPoint(leaf)
	}
	s.tls.Store(state)
	return nil
}

// refuseWeak refuses TLS 1.2 without extended master secret, where values derived from the session bind to
// nothing (RFC 7627 §1).
func refuseWeak(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if slices.Contains(hello.SupportedVersions, tls.VersionTLS13) ||
		slices.Contains(hello.Extensions, extensionMasterSecret) {
		return nil, nil
	}
	return nil, errNoMasterSecret
}

func leafOf(certificate tls.Certificate) (*x509.Certificate, error) {
	if certificate.Leaf != nil {
		return certificate.Leaf, nil
	}
	if len(certificate.Certificate) == 0 {
		return nil, errNoCertificate
	}
	return x509.ParseCertificate(certificate.Certificate[0])
}

// handshake does the TLS handshake under the deadline of the login. If the server ended it, the error is a
// reply. The log has a connection only from here on: strangers that make room before count as refused.
func (c *conn) handshake() error {
	c.raw.wait = wait{by: c.loginBy, flags: anyFlag}
	// A context that can be cancelled would cost a goroutine. The deadline and wake do the same.
	err := c.tls.HandshakeContext(context.Background())
	if dropped := c.dropped(); err != nil && dropped != nil {
		return dropped
	}
	c.srv.Audit.Info("conn.accept", c.id).Str("remote", c.raw.RemoteAddr().String()).Send()
	if err != nil {
		c.srv.Audit.Warn("tls.fail", c.id).Str("error", fmt.Sprintf("%.200s", err)).Send()
		switch {
		case errors.Is(err, errWoken):
			return errShutdown
		case errors.Is(err, errDeadline), errors.Is(err, os.ErrDeadlineExceeded): // of a read, of a write
			return errLoginTimeout
		}
		return err
	}
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
func (c *conn) bindings() []scram.ChannelBinding {
	var all []scram.ChannelBinding
	state := c.tls.ConnectionState()
	// On TLS 1.2 an absent context differs from an empty one. RFC 9266 demands the absent one, clients
	// use the empty one.
	if state.Version >= tls.VersionTLS13 {
		if binding, err := scram.TLSExporter(state.ExportKeyingMaterial); err == nil {
			all = append(all, binding)
		}
	}
	if c.endPoint.Type != "" {
		all = append(all, c.endPoint)
	}
	return all
}
