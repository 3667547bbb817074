package scram

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// ClientConfig says who logs in, and what the client accepts.
type ClientConfig struct {
	Username, Password string         // as typed: NewClient prepares them
	Authzid            string         // whom to act as; empty: the user
	Mechanism          string         // SHA256 or SHA256Plus
	Binding            ChannelBinding // required with SHA256Plus, unused without
	ServerLacksPlus    bool           // with SHA256: could have bound, had PLUS been offered (gs2 flag y)
	MinIterations      int            // that a server may ask for; 0: the constant
	MaxIterations      int            // likewise
	Keys               *KeyCache      // of earlier logins; nil: none
	Rand               io.Reader      // for the nonce; nil: crypto/rand
}

// Client is the client's side of one login.
type Client struct {
	cfg       ClientConfig
	state     state
	gs2, bare string // of client-first
	nonce     string // the client's part
	keysID    string
	keys      derived
	signature []byte // what v= must say
}

// NewClient starts a conversation: First, Final, Verify. It fails with [ErrPrepare] or [ErrConfig].
func NewClient(cfg ClientConfig) (*Client, error) {
	var errName, errPassword error
	cfg.Username, errName = Prepare(cfg.Username)
	cfg.Password, errPassword = Prepare(cfg.Password)
	if err := cmp.Or(errName, errPassword); err != nil {
		return nil, err
	}
	flag, authzid := "n", ""
	switch {
	case cfg.Mechanism == SHA256Plus && cfg.Binding.usable() && !cfg.ServerLacksPlus:
		flag = "p=" + cfg.Binding.Type
	case cfg.Mechanism != SHA256:
		return nil, fmt.Errorf("%w: mechanism %q, binding %q", ErrConfig, cfg.Mechanism, cfg.Binding.Type)
	case cfg.ServerLacksPlus:
		flag = "y"
	}
	if cfg.Authzid != "" {
		authzid = "a=" + encodeName(cfg.Authzid)
	}
	cfg.MinIterations = cmp.Or(cfg.MinIterations, MinIterations)
	cfg.MaxIterations = cmp.Or(cfg.MaxIterations, MaxIterations)
	cfg.Keys = cmp.Or(cfg.Keys, new(KeyCache))
	return &Client{cfg: cfg, gs2: flag + "," + authzid + ","}, nil
}

// First returns client-first. It fails with [ErrSequence] or Rand's error.
func (c *Client) First() ([]byte, error) {
	if err := c.state.leave(stateStart); err != nil {
		return nil, err
	}
	nonce, err := newNonce(c.cfg.Rand)
	if err != nil {
		return nil, err
	}
	c.nonce, c.bare = nonce, "n="+encodeName(c.cfg.Username)+",r="+nonce
	c.state = stateFirst
	return []byte(c.gs2 + c.bare), nil
}

// Final takes server-first and returns client-final, the proof. It does the iterations, until ctx is
// done. It fails with [ErrSequence], [ErrMalformed], [ErrNonce], [ErrIterations] or ctx's error.
func (c *Client) Final(ctx context.Context, serverFirst []byte) ([]byte, error) {
	if err := c.state.leave(stateFirst); err != nil {
		return nil, err
	}
	nonce, salt, i, ok := parseServerFirst(serverFirst)
	iterations, _ := strconv.Atoi(i)
	switch {
	case !ok:
		return nil, ErrMalformed
	case len(nonce) == len(c.nonce) || !strings.HasPrefix(nonce, c.nonce):
		return nil, ErrNonce
	case strconv.Itoa(iterations) != i || iterations < max(1, c.cfg.MinIterations) || iterations > c.cfg.MaxIterations:
		return nil, ErrIterations
	}
	var err error
	if c.keysID, c.keys, err = c.cfg.Keys.derive(ctx, c.cfg, salt, iterations); err != nil {
		return nil, err
	}
	channel := []byte(c.gs2)
	if c.cfg.Mechanism == SHA256Plus {
		channel = append(channel, c.cfg.Binding.Data...)
	}
	final := "c=" + encode(channel) + ",r=" + nonce
	auth := []byte(c.bare + "," + string(serverFirst) + "," + final)
	proof := sign(c.keys.storedKey, auth)
	subtle.XORBytes(proof, proof, c.keys.clientKey)
	c.signature = sign(c.keys.serverKey, auth)
	c.state = stateFinal
	return []byte(final + ",p=" + encode(proof)), nil
}

// Verify takes server-final. The server is proved, and the login to be believed, only if the error
// is nil: not [ErrServerError], [ErrServerUnverified] or [ErrSequence].
func (c *Client) Verify(serverFinal []byte) error {
	if err := c.state.leave(stateFinal); err != nil {
		return err
	}
	final := text(serverFinal)
	if v, ok := values(final, "e"); ok {
		return fmt.Errorf("%w: %.64q", ErrServerError, v[0])
	}
	v, ok := values(final, "v")
	if !ok || subtle.ConstantTimeCompare(decode(v[0]), c.signature) != 1 {
		return ErrServerUnverified
	}
	c.cfg.Keys.keep(c.keysID, c.keys)
	c.state = stateDone
	return nil
}

// Verified reports whether the server is proved.
func (c *Client) Verified() bool { return c.state == stateDone }

// KeyCache spares later logins the iterations (RFC 5802 §5.1). It holds the keys of at most 64
// combinations of name, password, salt and iterations, once the server has proved to have them too;
// whoever reads them in memory can log in. The zero value is ready. Safe for concurrent use.
type KeyCache struct {
	mu     sync.Mutex
	secret string
	keys   map[string]derived // by a keyed hash, so that another password finds nothing
}

// derive finds or computes the keys of a login, and gives what to keep them under.
func (k *KeyCache) derive(ctx context.Context, cfg ClientConfig, salt []byte, iterations int) (string, derived, error) {
	k.mu.Lock()
	if k.keys == nil {
		k.secret, k.keys = rand.Text(), map[string]derived{}
	}
	// Unambiguous: what was prepared holds no NUL.
	login := strings.Join([]string{cfg.Username, cfg.Password, strconv.Itoa(iterations), string(salt)}, "\x00")
	id := string(sign([]byte(k.secret), []byte(login)))
	keys, found := k.keys[id]
	k.mu.Unlock()
	if found {
		return id, keys, nil
	}
	keys, err := derive(ctx, cfg.Password, salt, iterations)
	return id, keys, err
}

func (k *KeyCache) keep(id string, keys derived) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys[id] = keys; len(k.keys) > 64 {
		clear(k.keys)
	}
}
