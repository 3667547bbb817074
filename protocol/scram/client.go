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

// ClientConfig configures the client side of a login.
type ClientConfig struct {
	// Username and Password are as the user typed them: NewClient prepares them with SASLprep.
	Username, Password string
	// Authzid is the name of the user to act as. Empty means the user who logs in.
	Authzid string
	// Mechanism is SHA256 or SHA256Plus.
	Mechanism string
	// Binding is required with SHA256Plus and ignored with SHA256.
	Binding ChannelBinding
	// ServerLacksPlus states, with SHA256, that the client supports channel binding and the server did
	// not offer it (gs2 flag y).
	ServerLacksPlus bool
	// MinIterations and MaxIterations bound the iterations that the server may demand. Zero means the
	// constant of the same name.
	MinIterations, MaxIterations int
	// Keys caches PBKDF2 results for later logins. Nil means no cache.
	Keys *KeyCache
	// Rand is the source of the nonce. Nil means crypto/rand.
	Rand io.Reader
}

// Client is the client side of one login.
type Client struct {
	cfg       ClientConfig
	state     state
	gs2, bare string // gs2-header and client-first-message-bare
	nonce     string // the client's part
	keysID    string
	keys      derived
	signature []byte // the expected ServerSignature
}

// NewClient starts a conversation. Call First, Final and Verify, in this order. NewClient fails with
// [ErrPrepare] or [ErrConfig].
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

// Final takes server-first and returns client-final with the proof. It computes the iterations unless
// Keys has the result, and stops when ctx ends. It fails with [ErrSequence], [ErrMalformed], [ErrNonce],
// [ErrIterations] or ctx's error.
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

// Verify takes server-final. Only a nil error proves the server and means that the login succeeded. It
// fails with [ErrServerError], [ErrServerUnverified] or [ErrSequence].
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

// KeyCache caches PBKDF2 results for later logins (RFC 5802 §5.1). It holds the keys of at most 64
// combinations of name, password, salt and iterations, and keeps keys only after the server has proved
// that it has them too. A thief who reads them in memory can log in. The zero KeyCache is ready to use.
// It is safe for concurrent use.
type KeyCache struct {
	mu     sync.Mutex
	secret string
	keys   map[string]derived // by keyed hash of the login, so that a wrong password finds nothing
}

// derive returns the keys of a login from the cache or computes them, and their id in the cache.
func (k *KeyCache) derive(ctx context.Context, cfg ClientConfig, salt []byte, iterations int) (string, derived, error) {
	k.mu.Lock()
	if k.keys == nil {
		k.secret, k.keys = rand.Text(), map[string]derived{}
	}
	// The join is unambiguous, because prepared strings contain no NUL.
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
