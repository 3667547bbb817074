package testserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/protocol/scram"
)

// Login is the client's side of a SCRAM login, line by line (RFC 4954 §4). Call [Login.Auth],
// [Login.Final] and [Login.Verify] in this order, each with the server's answer to the last line.
type Login struct {
	mechanism string
	scram     *scram.Client
}

// NewLogin begins a login on a connection. In config only Username is needed: the mechanism is
// SCRAM-SHA-256-PLUS with the binding of the connection, the password that of [Names].
func NewLogin(conn *tls.Conn, config scram.ClientConfig) (*Login, error) {
	config.Mechanism = cmp.Or(config.Mechanism, scram.SHA256Plus)
	config.Password = cmp.Or(config.Password, Password(config.Username))
	config.Keys = cmp.Or(config.Keys, keys)
	if config.Mechanism == scram.SHA256Plus && config.Binding.Type == "" {
		var err error
		if config.Binding, err = Binding(conn.ConnectionState()); err != nil {
			return nil, err
		}
	}
	client, err := scram.NewClient(config)
	return &Login{config.Mechanism, client}, err
}

// Binding returns the channel binding of a client's connection: tls-exporter with TLS 1.3,
// tls-server-end-point before.
func Binding(state tls.ConnectionState) (scram.ChannelBinding, error) {
	if state.Version < tls.VersionTLS13 {
		return scram.TLSServerEndPoint(state.PeerCertificates[0])
	}
	return scram.TLSExporter(state.ExportKeyingMaterial)
}

// Auth returns the AUTH command with client-first.
func (l *Login) Auth() (line string, err error) {
	first, err := l.scram.First()
	return "AUTH " + l.mechanism + " " + encode(first), err
}

// Final returns the line with client-final. Challenge is the server's reply to Auth, a 334.
func (l *Login) Final(ctx context.Context, challenge string) (line string, err error) {
	first, err := decode(challenge)
	if err != nil {
		return "", err
	}
	final, err := l.scram.Final(ctx, first)
	return encode(final), err
}

// Verify checks the server's signature, in its reply to Final, another 334. After it the client sends an empty
// line, which asks for the seat.
func (l *Login) Verify(challenge string) error {
	final, err := decode(challenge)
	if err != nil {
		return err
	}
	return l.scram.Verify(final)
}

func encode(p []byte) string { return base64.StdEncoding.EncodeToString(p) }

// decode returns the message in a 334.
func decode(line string) ([]byte, error) {
	text, ok := strings.CutPrefix(line, "334 ")
	if !ok {
		return nil, fmt.Errorf("testserver: expected a challenge, not %q", line)
	}
	return base64.StdEncoding.DecodeString(text)
}
