package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/specs/harness"
)

// loops is how many operations a step has where one is too short to be timed.
const loops = 1000

// scrams are one end's part of a whole conversation: of a client that knows the
// keys from an earlier login, of a server that has the verifier.
func scrams() Group {
	side := func(name string, take func(*conversation) error) Subject {
		return Subject{Name: "side=" + name + "/of=sallyport", Start: func(t T) *Rig {
			c := newConversation(t)
			return loop(func() error { return take(c) })
		}}
	}
	return Group{Name: "Scram", Rounds: 40, Block: 50 * time.Millisecond, Subjects: []Subject{
		side("client", (*conversation).client), side("server", (*conversation).server),
	}}
}

// scramBoth is both ends, once: what SCRAM has a login compute.
func scramBoth(t T) *Rig {
	c := newConversation(t)
	return loop(func() error { return errors.Join(c.client(), c.server()) })
}

// loop is a rig that does something many times in a step.
func loop(do func() error) *Rig {
	return &Rig{Ops: loops, Step: func() (time.Duration, error) {
		start := time.Now()
		for range loops {
			if err := do(); err != nil {
				return 0, err
			}
		}
		return time.Since(start), nil
	}}
}

// A conversation is one login that can be had again from either side, since its
// nonces are always the same.
type conversation struct {
	asks                                        scram.ClientConfig
	answers                                     scram.ServerConfig
	clientFirst, serverFirst, proof, serverLast []byte
}

func newConversation(t T) *conversation {
	t.Helper()
	verifier, err := scram.NewVerifier(harness.Password("alice"), make([]byte, 16), scram.MinIterations)
	if err != nil {
		t.Fatalf("verifier: %v", err)
	}
	binding := scram.ChannelBinding{Type: scram.TypeExporter, Data: make([]byte, 32)}
	c := &conversation{
		asks: scram.ClientConfig{
			Username: "alice", Password: harness.Password("alice"), Mechanism: scram.SHA256Plus, Binding: binding,
			Keys: new(scram.KeyCache), Rand: sameNonce{},
		},
		answers: scram.ServerConfig{
			Mechanism: scram.SHA256Plus, Bindings: []scram.ChannelBinding{binding}, PlusOffered: true, Rand: sameNonce{},
			Lookup: func(string) (scram.Verifier, bool) { return verifier, true },
		},
	}
	if err := c.rehearse(); err != nil {
		t.Fatalf("conversation: %v", err)
	}
	return c
}

// rehearse notes the messages, and leaves the keys in the cache.
func (c *conversation) rehearse() error {
	alice, err := scram.NewClient(c.asks)
	server := scram.NewServer(c.answers)
	if err == nil {
		c.clientFirst, err = alice.First()
	}
	if err == nil {
		c.serverFirst, err = server.First(c.clientFirst)
	}
	if err == nil {
		c.proof, err = alice.Final(context.Background(), c.serverFirst)
	}
	if err == nil {
		c.serverLast, err = server.Final(c.proof)
	}
	if err == nil {
		err = alice.Verify(c.serverLast)
	}
	return err
}

func (c *conversation) client() error {
	alice, err := scram.NewClient(c.asks)
	if err == nil {
		_, err = alice.First()
	}
	if err == nil {
		_, err = alice.Final(context.Background(), c.serverFirst)
	}
	if err == nil {
		err = alice.Verify(c.serverLast)
	}
	return err
}

func (c *conversation) server() error {
	server := scram.NewServer(c.answers)
	_, err := server.First(c.clientFirst)
	if err != nil {
		return err
	}
	last, err := server.Final(c.proof)
	if err == nil && !bytes.Equal(last, c.serverLast) {
		err = errors.New("another signature")
	}
	return err
}

// sameNonce costs what randomness costs.
type sameNonce struct{}

func (sameNonce) Read(p []byte) (int, error) {
	_, _ = rand.Read(p)
	clear(p)
	return len(p), nil
}
