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
	"sync"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
)

// extensionMasterSecret is extended_master_secret (RFC 7627).
const extensionMasterSecret = 23

var (
	errNoCertificate  = errors.New("server: TLSConfig has no certificate")
	errNoMasterSecret = errors.New("TLS 1.2 without extended master secret")
)

// tlsState is a configuration and what follows from its certificate. A new certificate makes a new
// state with ticket keys of its own, so a resumed connection never stands for another certificate
// than it says.
type tlsState struct {
	config   *tls.Config
	endPoint scram.ChannelBinding // zero where RFC 5929 defines none
}

// SetTLSConfig replaces the certificate of a running server: connections that are accepted from now
// on use it. Sessions go on under the old one, and tickets of the old one resume nothing.
func (s *Server) SetTLSConfig(config *tls.Config) error {
	if config == nil || len(config.Certificates) == 0 && config.GetCertificate == nil {
		return errNoCertificate
	}
	config = config.Clone()
	config.NextProtos = []string{protocol.ALPN}
	config.GetConfigForClient = refuseWeak
	config.MinVersion = max(cmp.Or(config.MinVersion, tls.VersionTLS13), tls.VersionTLS12)
	config.MaxVersion = 0                     // refuseWeak counts on 1.3 wherever the client has it
	config.DynamicRecordSizingDisabled = true // a batch of replies is one record, and one write
	state := &tlsState{config: config}
	// With several certificates nobody here knows which one a client saw.
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

// cipherNames has the names of all cipher suites. tls.CipherSuiteName makes a list of them each time.
var cipherNames = sync.OnceValue(func() map[uint16]string {
	names := map[uint16]string{}
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		names[suite.ID] = suite.Name
	}
	return names
})

// refuseWeak ends a handshake that could only lead to TLS 1.2 without extended master secret, where
// what is derived from the session binds to nothing.
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

// handshake is the TLS handshake, under the login deadline. An error that is a reply says why the
// server ended it.
func (c *conn) handshake() error {
	_ = c.srv.logged(c.srv.Audit.Flush()) // a failure is told once there is TLS to tell it through
	c.raw.wait = wait{by: c.loginBy, flags: anyFlag}
	// A context that can be cancelled would cost a goroutine; the deadline and wake do the same.
	if err := c.tls.HandshakeContext(context.Background()); err != nil {
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
		Str("cipher", cipherNames()[state.CipherSuite]).
		Str("curve", state.CurveID.String()).
		Bool("resumed", state.DidResume).
		Str("alpn", state.NegotiatedProtocol).Send()
	return nil
}

// bindings are the channel bindings that this connection can do.
func (c *conn) bindings() []scram.ChannelBinding {
	var all []scram.ChannelBinding
	state := c.tls.ConnectionState()
	// On TLS 1.2 Go tells an absent context from an empty one, and RFC 9266 wants the former with
	// one label and clients do the latter.
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
