// Package secure makes the TLS configuration of a server, and the channel bindings of its connections.
package secure

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
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

// Config is a TLS configuration with the channel binding of its certificate. Each certificate has its own Config
// and ticket keys, so a resumed connection always has the certificate that it was made with.
type Config struct {
	TLS      *tls.Config
	endPoint scram.ChannelBinding // zero if RFC 5929 defines none
}

// A beginner is a connection below TLS that learns when the handshake has begun: the ClientHello has come.
type beginner interface{ Begun() }

// New returns a copy of a configuration with what the protocol demands. It calls Begun of a connection below TLS that
// has this method, when the ClientHello has come.
func New(config *tls.Config) (*Config, error) {
	if config == nil || len(config.Certificates) == 0 && config.GetCertificate == nil {
		return nil, errNoCertificate
	}
	config = config.Clone()
	config.NextProtos = []string{protocol.ALPN}
	config.GetConfigForClient = refuseWeak
	config.MinVersion = max(cmp.Or(config.MinVersion, tls.VersionTLS13), tls.VersionTLS12)
	config.MaxVersion = 0                     // refuseWeak relies on 1.3 with each client that supports it
	config.DynamicRecordSizingDisabled = true // a batch of replies is one record, and one write
	c := &Config{TLS: config}
	// With several certificates it is unknown which one a client gets.
	if len(config.Certificates) == 1 && config.GetCertificate == nil {
		leaf, err := leafOf(config.Certificates[0])
		if err != nil {
			return nil, err
		}
		c.endPoint, _ = scram.TLSServerEndPoint(leaf)
	}
	return c, nil
}

// refuseWeak refuses TLS 1.2 without extended master secret, where values derived from the session bind to
// nothing (RFC 7627 §1).
func refuseWeak(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if conn, ok := hello.Conn.(beginner); ok {
		conn.Begun()
	}
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

// Bindings returns the channel bindings of a connection.
func (c *Config) Bindings(state tls.ConnectionState) []scram.ChannelBinding {
	var all []scram.ChannelBinding
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
