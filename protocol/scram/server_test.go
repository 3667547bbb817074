package scram

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const standardFirst = "n,,n=user,r=cnonce"

// Only the error distinguishes a wrong password from an unknown user. An unknown user fails even with the
// password of the verifier.
func TestServerUnknownUser(t *testing.T) {
	t.Parallel()
	v := verifier(t, "pencil")
	for name, c := range map[string]struct {
		known    bool
		password string
		want     error
	}{
		"known":                  {true, "pencil", nil},
		"wrong password":         {true, "wrong", ErrWrongProof},
		"unknown":                {false, "pencil", ErrUnknownUser},
		"unknown, and not right": {false, "wrong", ErrUnknownUser},
	} {
		p := newPair(t, ClientConfig{Username: "nobody", Password: c.password, Mechanism: SHA256}, ServerConfig{
			Mechanism: SHA256, Lookup: func(string) (Verifier, bool) { return v, c.known },
		})
		client, server := p.run()
		if client != nil || server != c.want || p.server.Username() != "nobody" {
			t.Errorf("%s: client %v, server %v, username %q", name, client, server, p.server.Username())
		}
	}
}

// A server doesn't use a binding without data or with an unknown type.
func TestServerUnusableBinding(t *testing.T) {
	t.Parallel()
	for gs2, c := range map[string]struct {
		binding ChannelBinding
		want    error
	}{
		"p=tls-exporter":         {exporter, nil},
		"p=":                     {ChannelBinding{Data: exporter.Data}, ErrBindingType},
		"p=tls-unique":           {ChannelBinding{"tls-unique", exporter.Data}, ErrBindingType},
		"p=tls-server-end-point": {ChannelBinding{Type: TypeServerEndPoint}, ErrBindingType},
	} {
		cfg := ServerConfig{Mechanism: SHA256Plus, Bindings: []ChannelBinding{c.binding}, Lookup: lookup("user", verifier(t, "pencil"))}
		if _, err := NewServer(cfg).First([]byte(gs2 + ",,n=user,r=cnonce")); err != c.want {
			t.Errorf("%s: %v, want %v", gs2, err, c.want)
		}
	}
}

// Battery 4: a recorded login fails, because the server's nonce is another one. The control has the old nonce.
func TestServerReplay(t *testing.T) {
	t.Parallel()
	for random, want := range map[io.Reader]error{nil: ErrNonce, zeros{}: nil} {
		p := newPair(t, ClientConfig{Mechanism: SHA256}, ServerConfig{Mechanism: SHA256, Rand: random})
		m := p.messages(t, 4)
		s := NewServer(p.server.cfg)
		_, err := s.First(m[0])
		noError(t, err)
		if _, err := s.Final(m[2]); err != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

func TestServerConfig(t *testing.T) {
	t.Parallel()
	good := lookup("user", verifier(t, "pencil"))
	bad := func(string) (Verifier, bool) { return Verifier{Iterations: MinIterations, Salt: testSalt}, true }
	broken := errors.New("no randomness")
	for name, c := range map[string]struct {
		cfg  ServerConfig
		want error
	}{
		"control":          {ServerConfig{Mechanism: SHA256, Lookup: good}, nil},
		"zero":             {ServerConfig{}, ErrConfig},
		"no mechanism":     {ServerConfig{Lookup: good}, ErrConfig},
		"other mechanism":  {ServerConfig{Mechanism: "SCRAM-SHA-1", Lookup: good}, ErrConfig},
		"no Lookup":        {ServerConfig{Mechanism: SHA256}, ErrConfig},
		"invalid verifier": {ServerConfig{Mechanism: SHA256, Lookup: bad}, ErrConfig},
		"broken Rand":      {ServerConfig{Mechanism: SHA256, Lookup: good, Rand: iotest.ErrReader(broken)}, broken},
		"short Rand":       {ServerConfig{Mechanism: SHA256, Lookup: good, Rand: bytes.NewReader(make([]byte, 14))}, io.ErrUnexpectedEOF},
	} {
		m, err := NewServer(c.cfg).First([]byte(standardFirst))
		if !errors.Is(err, c.want) || err != nil && m != nil {
			t.Errorf("%s: %q, %v, want %v", name, m, err, c.want)
		}
	}
}

func TestServerAccessors(t *testing.T) {
	t.Parallel()
	type names struct{ Username, Binding string }
	plus := ServerConfig{Mechanism: SHA256Plus, Bindings: []ChannelBinding{endPoint, exporter}, PlusOffered: true}
	for _, c := range []struct {
		cfg   ServerConfig
		first string
		fails bool
		want  names
	}{
		{plus, "p=tls-exporter,,n=us\u00ader,r=x", false, names{"user", TypeExporter}},
		{plus, "p=tls-server-end-point,,n=other,r=x", false, names{"other", TypeServerEndPoint}},
		{plus, "p=tls-unique,,n=user,r=x", true, names{"user", ""}},
		{ServerConfig{Mechanism: SHA256, PlusOffered: true}, "y,,n=user,r=x", true, names{"user", ""}},
		{ServerConfig{Mechanism: SHA256}, "n,a=root,n=user,r=x", true, names{"user", ""}},
		{ServerConfig{Mechanism: SHA256}, "n,,n=user,r=", true, names{"user", ""}},
		{ServerConfig{Mechanism: SHA256}, "n,,r=x", true, names{"", ""}},
		{ServerConfig{Mechanism: SHA256}, "", true, names{"", ""}},
		{ServerConfig{Mechanism: SHA256}, "n,,n=a=b,r=x", true, names{"", ""}},
	} {
		c.cfg.Lookup = lookup("user", verifier(t, "pencil"))
		s := NewServer(c.cfg)
		// The names after a failure are the point, so each of these must fail.
		if _, err := s.First([]byte(c.first)); c.fails != (err != nil) {
			t.Errorf("%q: %v", c.first, err)
		}
		if diff := cmp.Diff(c.want, names{s.Username(), s.Binding()}); diff != "" {
			t.Errorf("%q: %s", c.first, diff)
		}
	}
}

// The nonces that a server adds are random and long.
func TestServerNonce(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		p := newPair(t, ClientConfig{Mechanism: SHA256}, ServerConfig{Mechanism: SHA256})
		first := string(p.messages(t, 2)[1])
		nonce, _, _ := strings.Cut(first, ",")
		if len(nonce) != len("r=")+2*len(zeroNonce) || seen[nonce] {
			t.Fatalf("nonce %q", nonce)
		}
		seen[nonce] = true
	}
	if !strings.HasPrefix(string(plain(t).messages(t, 2)[1]), "r="+zeroNonce+zeroNonce+",") {
		t.Error("Rand is not used")
	}
}
