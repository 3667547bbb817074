package scram

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// cached reports whether keys for a login that asks for these values are in the cache.
func cached(t *testing.T, keys *KeyCache, name, password string, salt []byte, iterations int) bool {
	t.Helper()
	// With a context that is done only cached keys are returned.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := keys.derive(ctx, ClientConfig{Username: name, Password: password}, salt, iterations)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	return err == nil
}

func TestKeyCache(t *testing.T) {
	t.Parallel()
	keys := new(KeyCache)
	login := func() (client, server error) {
		return newPair(t, ClientConfig{Mechanism: SHA256, Keys: keys}, ServerConfig{Mechanism: SHA256}).run()
	}
	if cached(t, keys, "user", "pencil", testSalt, testCount) {
		t.Fatal("cached before any login")
	}
	if client, server := login(); client != nil || server != nil {
		t.Fatal(client, server)
	}
	for name, c := range map[string]struct {
		name, password string
		salt           []byte
		iterations     int
		want           bool
	}{
		"the same":         {"user", "pencil", testSalt, testCount, true},
		"other name":       {"usera", "pencil", testSalt, testCount, false},
		"other password":   {"user", "pencil2", testSalt, testCount, false},
		"other salt":       {"user", "pencil", testSalt[1:], testCount, false},
		"other iterations": {"user", "pencil", testSalt, testCount + 1, false},
		"shifted":          {"user\" \"pencil", "", testSalt, testCount, false},
	} {
		if got := cached(t, keys, c.name, c.password, c.salt, c.iterations); got != c.want {
			t.Errorf("%s: cached is %t", name, got)
		}
	}
	if client, server := login(); client != nil || server != nil {
		t.Errorf("login with cached keys: client %v, server %v", client, server)
	}
	// A wrong password finds no cached keys, and fails.
	p := newPair(t, ClientConfig{Mechanism: SHA256, Keys: keys, Password: "wrong"}, ServerConfig{Mechanism: SHA256})
	if _, server := p.run(); server != ErrWrongProof {
		t.Errorf("wrong password: %v", server)
	}
}

// Keys that the server didn't prove to have are not kept.
func TestKeyCacheUnverified(t *testing.T) {
	t.Parallel()
	for final, want := range map[string]bool{"wrong": false, "error": false, "none": false, "right": true} {
		keys := new(KeyCache)
		p := newPair(t, ClientConfig{Mechanism: SHA256, Keys: keys, Rand: zeros{}}, ServerConfig{Mechanism: SHA256})
		p.messages(t, 3)
		switch final {
		case "wrong":
			if err := p.client.Verify([]byte("v=" + encode(make([]byte, 32)))); err != ErrServerUnverified {
				t.Error(err)
			}
		case "error":
			if err := p.client.Verify([]byte("e=invalid-proof")); !errors.Is(err, ErrServerError) {
				t.Error(err)
			}
		case "right":
			if err := p.client.Verify([]byte("v=" + encode(p.client.signature))); err != nil {
				t.Error(err)
			}
		}
		if got := cached(t, keys, "user", "pencil", testSalt, testCount); got != want {
			t.Errorf("%s server-final: cached is %t", final, got)
		}
	}
}

func TestKeyCacheBounded(t *testing.T) {
	t.Parallel()
	keys := &KeyCache{keys: map[string]derived{}}
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			keys.keep(fmt.Sprint(i), derived{})
			cached(t, keys, "user", "pencil", testSalt, i)
		})
	}
	wg.Wait()
	if n := len(keys.keys); n > 64 {
		t.Errorf("%d entries", n)
	}
	keys = &KeyCache{keys: map[string]derived{}}
	for range 2 {
		for i := range 64 {
			keys.keep(fmt.Sprint(i), derived{})
		}
	}
	if n := len(keys.keys); n != 64 {
		t.Errorf("%d entries of 64 that fit", n)
	}
}
