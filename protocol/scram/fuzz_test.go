package scram

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sallyport/sallyport/fixtures"
)

// hopeless reports whether an error is an Error, as each error about a peer's message is.
func hopeless(err error) bool {
	_, ok := errors.AsType[Error](err)
	return ok
}

// fixtureSeeds returns the messages of one end in the vectors, with the values of plain.
func fixtureSeeds(f *testing.F, from byte) []string {
	f.Helper()
	p := plain(f)
	_, proof, _ := strings.Cut(string(p.messages(f, 3)[2]), ",p=")
	seeds, err := fixtures.Seeds(from, fixtures.Symbols{
		"cnonce": zeroNonce, "snonce": zeroNonce, "salt": encode(testSalt), "i": "4096", "bind": "n", "gs2": "n,,", "cbind": "biws", "name": "user", "nonce": zeroNonce + zeroNonce, "n": "7",
		"data": string(exporter.Data), "other-type": TypeServerEndPoint, "other-data": string(endPoint.Data), "proof": proof, "signature": encode(p.client.signature),
	})
	if err != nil || len(seeds) == 0 {
		f.Fatal(seeds, err)
	}
	return seeds
}

func FuzzClientFirst(f *testing.F) {
	for _, s := range fixtureSeeds(f, 'C') {
		f.Add([]byte(s), true, true)
		f.Add([]byte(s), false, false)
	}
	known := verifier(f, "pencil")
	f.Fuzz(func(t *testing.T, message []byte, plus, offered bool) {
		cfg := ServerConfig{Mechanism: SHA256, PlusOffered: offered, Rand: zeros{}, Bindings: []ChannelBinding{exporter}}
		if plus {
			cfg.Mechanism = SHA256Plus
		}
		cfg.Lookup = func(string) (Verifier, bool) { return known, true }
		s := NewServer(cfg)
		first, err := s.First(message)
		if name := s.Username(); name != "" {
			if again, err := Prepare(name); err != nil || again != name || len(name) > MaxName {
				t.Errorf("username %q", name)
			}
		}
		if err != nil {
			if !hopeless(err) || first != nil {
				t.Errorf("%q, %v", first, err)
			}
			return
		}
		if !utf8.Valid(message) || s.Username() == "" || (s.Binding() != "") != plus || plus != strings.HasPrefix(string(message), "p=") {
			t.Errorf("accepted %q", message)
		}
		if _, _, _, ok := parseServerFirst(first); !ok {
			t.Errorf("a client can't read %q", first)
		}
	})
}

func FuzzClientFinal(f *testing.F) {
	p := plain(f)
	m := p.messages(f, 3)
	first, final := m[0], m[2]
	f.Add(final)
	for _, s := range fixtureSeeds(f, 'C') {
		f.Add([]byte(s))
	}
	cfg := p.server.cfg
	f.Fuzz(func(t *testing.T, message []byte) {
		s := NewServer(cfg)
		if _, err := s.First(first); err != nil {
			t.Fatal(err)
		}
		m, err := s.Final(message)
		if (err == nil) != (string(message) == string(final)) { // any other message would be a forgery
			t.Fatalf("%q: %q, %v", message, m, err)
		}
		if err != nil && (!hopeless(err) || m != nil) {
			t.Errorf("%q, %v", m, err)
		}
	})
}

func FuzzServerFirst(f *testing.F) {
	for _, s := range fixtureSeeds(f, 'S') {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		c := newPair(t, ClientConfig{Mechanism: SHA256, MinIterations: 1, MaxIterations: 4097, Rand: zeros{}}, ServerConfig{Lookup: lookup("", Verifier{})}).client
		if _, err := c.First(); err != nil {
			t.Fatal(err)
		}
		final, err := c.Final(context.Background(), message)
		if err != nil {
			if !hopeless(err) || final != nil {
				t.Errorf("%q, %v", final, err)
			}
			return
		}
		if !strings.HasPrefix(string(message), "r="+zeroNonce) {
			t.Errorf("accepted %q", message)
		}
		if _, _, _, _, ok := parseClientFinal(final); !ok {
			t.Errorf("a server can't read %q", final)
		}
	})
}

func FuzzServerFinal(f *testing.F) {
	p := plain(f)
	p.messages(f, 3)
	signature := "v=" + encode(p.client.signature)
	for _, s := range fixtureSeeds(f, 'S') {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		c := &Client{state: stateFinal, cfg: p.client.cfg, keys: p.client.keys, keysID: p.client.keysID, signature: p.client.signature}
		err := c.Verify(message)
		rest, signed := strings.CutPrefix(string(message), signature)
		if err == nil && (!signed || rest != "" && rest[0] != ',') || err != nil && (!hopeless(err) || signed && rest == "") {
			t.Errorf("%q: %v", message, err)
		}
	})
}

func FuzzVerifier(f *testing.F) {
	for _, s := range []string{
		stored, strings.Replace(stored, "4096", "04096", 1), strings.Replace(stored, "gQ==", "gR==", 1), stored + "\n",
		"SCRAM-SHA-256$4096:QQ==$AAAA:AAAA", "$:$:", "md5abc", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVerifier(s)
		if err != nil {
			if err != ErrVerifier || v.Iterations != 0 || v.Salt != nil {
				t.Errorf("%v, %v", v, err)
			}
			return
		}
		if v.String() != s || !v.valid() {
			t.Errorf("%q reads as %q", s, v)
		}
		if w, err := ParseVerifier(v.String()); err != nil || !w.Equal(v) {
			t.Errorf("%v, %v", w, err)
		}
	})
}

func FuzzPrepare(f *testing.F) {
	for _, s := range fixtureSeeds(f, 'C') {
		f.Add(s)
	}
	for _, s := range []string{"user", "I\u00adX", "\u2168", "\u0627a", "\U0001f130", "\xff", "e\u0301", strings.Repeat("\u0300", 40), ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		prepared, err := Prepare(s)
		if err != nil {
			if err != ErrPrepare || prepared != "" {
				t.Errorf("%q, %v", prepared, err)
			}
			return
		}
		if again, err := Prepare(prepared); err != nil || again != prepared || !utf8.ValidString(prepared) {
			t.Errorf("%q becomes %q, then %q, %v", s, prepared, again, err)
		}
		if name := encodeName(prepared); strings.Contains(name, ",") || len(prepared) <= MaxName && prepareName(name) != prepared {
			t.Errorf("%q does not survive as %q", prepared, name)
		}
	})
}
