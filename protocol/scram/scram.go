// Package scram is the login of Sallyport: SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC
// 7677), both ends, without a network. Each end is a conversation with one method per message;
// the caller carries the messages, which have no base64 or line ends around them:
//
//	Client.First   -- client-first -->  Server.First
//	Client.Final   <-- server-first --
//	               -- client-final -->  Server.Final: the client is proved
//	Client.Verify  <-- server-final --  and now the server is, too
//
// Use [NewClient] to log in and [NewServer] to check a login. A server stores a [Verifier] per
// user; for other names a [Mock] makes up challenges. [TLSExporter] and [TLSServerEndPoint]
// derive what binds a login to its TLS connection, so that nobody in the middle can pass it on.
//
// A conversation is used once, by one goroutine, and any error ends it. A server never tells its
// client why: the [Error] is for the log. Messages have at most 8,192 octets, no control character,
// canonical base64, no attribute twice. Optional extensions are ignored, mandatory ones refused.
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

// PBKDF2 iterations of a [Verifier], and what a [Client] accepts unless told otherwise: at least
// what RFC 7677 §4 demands, at most what takes a small machine about a second.
const (
	MinIterations     = 4096
	DefaultIterations = 15000
	MaxIterations     = 1_000_000
)

// Error is one decision; its text is the reason in the interaction log. Every error of this
// package is an Error or wraps one, but for those of a context and of a failing Rand or export.
type Error string

// Error returns the token.
func (e Error) Error() string { return string(e) }

// Decisions of either end, of the server, of the client, and about the caller.
const (
	ErrMalformed Error = "malformed" // grammar; foreign authzid; gs2 flag unfit for the mechanism
	ErrNonce     Error = "nonce"     // not the server's, or doesn't extend the client's

	ErrBindingDowngrade Error = "binding-downgrade" // gs2 flag y, though PLUS was offered
	ErrBindingType      Error = "binding-type"      // unknown, or underivable on this connection
	ErrBindingMismatch  Error = "binding-mismatch"  // c= is not the gs2 header sent and our binding
	ErrUnknownUser      Error = "unknown-user"      // after the same work as for a known one
	ErrWrongProof       Error = "wrong-proof"       // wrong password, or an altered message

	ErrIterations       Error = "iterations"        // i= is not a number in the client's bounds
	ErrServerError      Error = "server-error"      // the server answered e=
	ErrServerUnverified Error = "server-unverified" // signature v= wrong, malformed or missing

	ErrPrepare  Error = "empty, not UTF-8, or with characters that SASLprep (RFC 4013) refuses" // not quoted: it may be a password
	ErrVerifier Error = "verifier"                                                              // not a verifier, or out of bounds
	ErrSequence Error = "sequence"                                                              // call out of order or after an error
	ErrConfig   Error = "config"                                                                // can't work like this
)

// state is how far a conversation has come.
type state uint8

const (
	stateStart  state = iota
	stateFirst        // client-first is sent or received
	stateFinal        // client-final is sent (client only)
	stateDone         // the other end is proved
	stateFailed       // an error ended it
)

func (s state) String() string { return [...]string{"start", "first", "final", "done", "failed"}[s] }

// leave begins the step allowed in state want. The conversation has failed unless the step ends
// by setting the next state, so that no early return can leave it open.
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

// ChannelBinding ties a login to a TLS connection, or to its server's certificate. Zero: none.
type ChannelBinding struct {
	Type string
	Data []byte // never empty
}

func (b ChannelBinding) usable() bool {
	return (b.Type == TypeExporter || b.Type == TypeServerEndPoint) && len(b.Data) > 0
}

// TLSExporter derives tls-exporter (RFC 9266 §2). export is the ExportKeyingMaterial of the
// tls.ConnectionState; its error is returned. For TLS 1.3 only: earlier versions need more care.
func TLSExporter(export func(label string, context []byte, length int) ([]byte, error)) (ChannelBinding, error) {
	data, err := export("EXPORTER-Channel-Binding", []byte{}, 32)
	return ChannelBinding{TypeExporter, data}, err
}

// TLSServerEndPoint derives tls-server-end-point from the server's certificate (RFC 5929 §4.1):
// the digest by its signature's hash, SHA-256 in place of MD5 and SHA-1. It fails with
// [ErrConfig] where there is no single hash, as with Ed25519.
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
