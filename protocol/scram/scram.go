// Package scram implements SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), client and
// server, without a network. Use [NewClient] to log in and [NewServer] to check a login. Each side has
// one method per message; the caller transports the messages, without base64 or line ends:
//
//	Client.First   -- client-first -->  Server.First
//	Client.Final   <-- server-first --
//	               -- client-final -->  Server.Final: the client is proved
//	Client.Verify  <-- server-final --  the server is proved
//
// [Server.First] and [Server.Final] judge the client's messages, [Client.Final] and [Client.Verify] the
// server's. A server stores a [Verifier] per user. For unknown names a [Mock] makes challenges.
// [TLSExporter] and [TLSServerEndPoint] derive the channel binding, which ties a login to its TLS
// connection, so that a man in the middle can't relay it.
//
// A conversation serves one login in one goroutine, and any error ends it. The [Error] is for the log: a server
// must not tell it to its client. Messages have at most 8,192 bytes, canonical base64, no control character and
// no attribute twice. The package ignores optional extensions and refuses mandatory ones.
package scram

import (
	"cmp"
	"crypto"
	"crypto/rand"
	_ "crypto/sha512" // for crypto.SHA384 and crypto.SHA512
	"crypto/x509"
	"fmt"
	"io"
)

// The mechanisms and the types of channel binding.
const (
	SHA256             = "SCRAM-SHA-256"        // RFC 7677
	SHA256Plus         = "SCRAM-SHA-256-PLUS"   // with channel binding
	TypeExporter       = "tls-exporter"         // RFC 9266
	TypeServerEndPoint = "tls-server-end-point" // RFC 5929 §4
)

// Bounds on the PBKDF2 iterations of a [Verifier], and the default bounds of a [Client]. The minimum is
// that of RFC 7677 §4; the maximum takes a small machine about a second.
const (
	MinIterations     = 4096
	DefaultIterations = 15000
	MaxIterations     = 1_000_000
)

// Error is the reason of a failure. Its text is the reason in the interaction log. Every error of this
// package is an Error or wraps one, except errors of a context, of Rand and of export.
type Error string

// Error returns the token.
func (e Error) Error() string { return string(e) }

// Errors of both sides, of the server, of the client, and of the caller.
const (
	ErrMalformed Error = "malformed" // wrong grammar, foreign authzid, or a gs2 flag that doesn't fit the mechanism
	ErrNonce     Error = "nonce"     // not the server's nonce, or it doesn't extend the client's

	ErrBindingDowngrade Error = "binding-downgrade" // gs2 flag y although the server offers PLUS
	ErrBindingType      Error = "binding-type"      // unknown, or impossible on this connection
	ErrBindingMismatch  Error = "binding-mismatch"  // c= is not the gs2 header and the server's binding
	ErrUnknownUser      Error = "unknown-user"      // after the same work as for a known user
	ErrWrongProof       Error = "wrong-proof"       // a wrong password or an altered message

	ErrIterations       Error = "iterations"        // i= is no number within the client's bounds
	ErrServerError      Error = "server-error"      // the server answered e=
	ErrServerUnverified Error = "server-unverified" // the signature v= is wrong, malformed or missing

	ErrVerifier Error = "verifier" // the string is no verifier, or a value is out of bounds
	ErrSequence Error = "sequence" // a call out of order or after an error
	ErrConfig   Error = "config"   // the configuration is unusable

	// ErrPrepare does not quote the string, which may be a password.
	ErrPrepare Error = "empty, not UTF-8, or with characters that SASLprep (RFC 4013) refuses"
)

// state is the progress of a conversation.
type state uint8

const (
	stateStart  state = iota
	stateFirst        // client-first was sent or received
	stateFinal        // client-final was sent (client only)
	stateDone         // the other side is proved
	stateFailed       // an error ended the conversation
)

func (s state) String() string { return [...]string{"start", "first", "final", "done", "failed"}[s] }

// leave begins a step that is allowed only in state want. It marks the conversation as failed until the
// step sets the next state, so that no early return can leave it open.
func (s *state) leave(want state) (err error) {
	if *s != want {
		err = fmt.Errorf("%w: state is %s, not %s", ErrSequence, *s, want)
	}
	*s = stateFailed
	return err
}

// newNonce returns one side's part of the nonce: 120 bits in 20 characters, as in RFC 7677 §3.
func newNonce(r io.Reader) (string, error) {
	b := make([]byte, 15)
	_, err := io.ReadFull(cmp.Or(r, rand.Reader), b)
	return encode(b), err
}

// ChannelBinding ties a login to a TLS connection or to its server's certificate. The zero value means none.
type ChannelBinding struct {
	// Type is TypeExporter or TypeServerEndPoint.
	Type string
	// Data is not empty.
	Data []byte
}

func (b ChannelBinding) usable() bool {
	return (b.Type == TypeExporter || b.Type == TypeServerEndPoint) && len(b.Data) > 0
}

// TLSExporter derives tls-exporter (RFC 9266 §2). export is ExportKeyingMaterial of tls.ConnectionState;
// TLSExporter returns its error. It is for TLS 1.3: earlier versions need extended master secret too.
func TLSExporter(export func(label string, context []byte, length int) ([]byte, error)) (ChannelBinding, error) {
	data, err := export("EXPORTER-Channel-Binding", []byte{}, 32)
	return ChannelBinding{TypeExporter, data}, err
}

// TLSServerEndPoint derives tls-server-end-point from the server's certificate (RFC 5929 §4.1): its
// digest by the hash of its signature, with SHA-256 in place of MD5 and SHA-1. It fails with
// [ErrConfig] if the signature has no single hash, as with Ed25519.
func TLSServerEndPoint(cert *x509.Certificate) (ChannelBinding, error) {
	var hash crypto.Hash
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.DSAWithSHA256, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS:
		hash = crypto.SHA256
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		hash = crypto.SHA512
	default:
		return ChannelBinding{}, fmt.Errorf("%w: no %s with %v", ErrConfig, TypeServerEndPoint, cert.SignatureAlgorithm)
	}
	h := hash.New()
	h.Write(cert.Raw)
	return ChannelBinding{TypeServerEndPoint, h.Sum(nil)}, nil
}
