package scram

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"strconv"
)

// ServerConfig says what a login may be.
type ServerConfig struct {
	Mechanism   string           // the one that the client chose
	Bindings    []ChannelBinding // those of this connection; without one, SHA256Plus fails
	PlusOffered bool             // a client that claims otherwise (gs2 flag y) was deceived, and fails

	// Lookup gives the verifier of a prepared name, or that of a [Mock] and false, after the
	// same work. First calls it, once: later changes are for later logins. Required.
	Lookup func(preparedName string) (v Verifier, known bool)
	Rand   io.Reader // for the nonce; nil: crypto/rand
}

// Server is the server's side of one login.
type Server struct {
	cfg               ServerConfig
	state             state
	username, binding string
	channel           []byte // what c= must say
	nonce, auth       string // nonce and AuthMessage, as far as they are known
	verifier          Verifier
	known             bool
}

// NewServer starts a conversation: First, then Final.
func NewServer(cfg ServerConfig) *Server { return &Server{cfg: cfg} }

// Username is the prepared name that the client claims, proved only if Final succeeds. It is empty
// as long as the client sent no valid one; a failure doesn't clear it.
func (s *Server) Username() string { return s.username }

// Binding is the type of the channel binding in use, empty if there is none.
func (s *Server) Binding() string { return s.binding }

// First takes client-first and returns server-first, the challenge. It fails with [ErrMalformed],
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

// bind judges the gs2 flag (RFC 5802 §6) of a message that was well-formed or not.
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

// Final takes client-final and returns server-final, which proves the server. Only a nil error
// proves the client. The first that applies: [ErrSequence], [ErrMalformed] (so is a proof not of 32
// octets, or an empty c=), [ErrNonce], [ErrBindingMismatch], [ErrUnknownUser], [ErrWrongProof].
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
