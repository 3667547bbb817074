package scram

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"strconv"
)

// ServerConfig configures the server side of a login.
type ServerConfig struct {
	// Mechanism is the mechanism that the client chose.
	Mechanism string
	// Bindings are the bindings of this connection. SHA256Plus fails without one.
	Bindings []ChannelBinding
	// PlusOffered states that the server offered PLUS. A client that claims otherwise (gs2 flag y) was
	// deceived by somebody in between, and its login fails.
	PlusOffered bool
	// Lookup returns the verifier of a prepared name or, after the same work, that of a [Mock] and
	// false. First calls it once, so later changes take effect at later logins. It is required.
	Lookup func(preparedName string) (v Verifier, known bool)
	// Rand is the source of the nonce. Nil means crypto/rand.
	Rand io.Reader
}

// Server is the server side of one login. First and Final judge the client's messages.
type Server struct {
	cfg               ServerConfig
	state             state
	username, binding string
	channel           []byte // the expected value of c=
	nonce, auth       string // the nonce and the AuthMessage, as far as they are known
	verifier          Verifier
	known             bool
}

// NewServer starts a conversation. Call First, then Final.
func NewServer(cfg ServerConfig) *Server { return &Server{cfg: cfg} }

// Username returns the prepared name that the client claims. Only a nil error of Final proves it. It is
// empty until the client has sent a valid name; a failure doesn't clear it.
func (s *Server) Username() string { return s.username }

// Binding returns the type of the channel binding, or "" without one.
func (s *Server) Binding() string { return s.binding }

// First judges client-first and returns server-first, the challenge. It fails with [ErrMalformed],
// [ErrBindingDowngrade], [ErrBindingType], [ErrSequence], [ErrConfig] or Rand's error.
func (s *Server) First(clientFirst []byte) (serverFirst []byte, err error) {
	if err := s.state.leave(stateStart); err != nil {
		return nil, err
	}
	if err := s.bind(s.parseFirst(clientFirst)); err != nil {
		return nil, err
	}
	nonce, err := newNonce(s.cfg.Rand)
	if err != nil {
		return nil, err
	}
	return s.challenge(nonce)
}

// bind judges the gs2 flag (RFC 5802 §6). ok reports whether client-first was well-formed.
func (s *Server) bind(flag, binding string, ok bool) error {
	plus := s.cfg.Mechanism == SHA256Plus
	switch {
	case s.cfg.Lookup == nil || !plus && s.cfg.Mechanism != SHA256:
		return fmt.Errorf("%w: no Lookup, or mechanism %q", ErrConfig, s.cfg.Mechanism)
	case !ok || plus != (flag == "p"):
		return ErrMalformed
	case flag == "y" && s.cfg.PlusOffered:
		return ErrBindingDowngrade
	case !plus:
		return nil
	}
	for _, b := range s.cfg.Bindings {
		if b.Type == binding && b.usable() {
			s.binding, s.channel = binding, append(s.channel, b.Data...)
			return nil
		}
	}
	return ErrBindingType
}

func (s *Server) challenge(nonce string) ([]byte, error) {
	s.verifier, s.known = s.cfg.Lookup(s.username)
	if !s.verifier.valid() {
		return nil, fmt.Errorf("%w: invalid verifier from Lookup", ErrConfig)
	}
	s.nonce += nonce
	first := "r=" + s.nonce + ",s=" + encode(s.verifier.Salt) + ",i=" + strconv.Itoa(s.verifier.Iterations)
	s.auth += "," + first
	s.state = stateFirst
	return []byte(first), nil
}

// Final judges client-final and returns server-final, which proves the server. Only a nil error proves the
// client. It fails with the first that applies of [ErrSequence], [ErrMalformed] (also for a proof that has not
// 32 bytes, or an empty c=), [ErrNonce], [ErrBindingMismatch], [ErrUnknownUser] and [ErrWrongProof].
func (s *Server) Final(clientFinal []byte) (serverFinal []byte, err error) {
	if err := s.state.leave(stateFirst); err != nil {
		return nil, err
	}
	withoutProof, nonce, channel, proof, ok := parseClientFinal(clientFinal)
	switch {
	case !ok:
		return nil, ErrMalformed
	case nonce != s.nonce:
		return nil, ErrNonce
	case subtle.ConstantTimeCompare(channel, s.channel) != 1:
		return nil, ErrBindingMismatch
	}
	auth := []byte(s.auth + "," + withoutProof)
	clientKey := sign(s.verifier.StoredKey, auth)
	subtle.XORBytes(clientKey, clientKey, proof)
	storedKey := sha256.Sum256(clientKey)
	proved := subtle.ConstantTimeCompare(storedKey[:], s.verifier.StoredKey) == 1
	signature := sign(s.verifier.ServerKey, auth)
	switch {
	case !s.known:
		return nil, ErrUnknownUser
	case !proved:
		return nil, ErrWrongProof
	}
	s.state = stateDone
	return []byte("v=" + encode(signature)), nil
}
