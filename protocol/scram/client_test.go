package scram

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// Every way to log in that should work, and what the client says in it.
func TestLogin(t *testing.T) {
	t.Parallel()
	both := []ChannelBinding{endPoint, exporter}
	for name, c := range map[string]struct {
		client ClientConfig
		server ServerConfig
		first  string
	}{
		"plain":           {ClientConfig{Mechanism: SHA256}, ServerConfig{Mechanism: SHA256}, "n,,n=user"},
		"plain by choice": {ClientConfig{Mechanism: SHA256, Binding: exporter}, ServerConfig{Mechanism: SHA256, PlusOffered: true, Bindings: both}, "n,,n=user"},
		"PLUS lacking":    {ClientConfig{Mechanism: SHA256, ServerLacksPlus: true}, ServerConfig{Mechanism: SHA256}, "y,,n=user"},
		"exporter":        {ClientConfig{Mechanism: SHA256Plus, Binding: exporter}, ServerConfig{Mechanism: SHA256Plus, Bindings: both}, "p=tls-exporter,,n=user"},
		"end point":       {ClientConfig{Mechanism: SHA256Plus, Binding: endPoint}, ServerConfig{Mechanism: SHA256Plus, Bindings: both}, "p=tls-server-end-point,,n=user"},
		"own authzid":     {ClientConfig{Mechanism: SHA256, Authzid: "user"}, ServerConfig{Mechanism: SHA256}, "n,a=user,n=user"},
		"prepared":        {ClientConfig{Username: "us\u00ader", Password: "pen\u00adcil", Mechanism: SHA256}, ServerConfig{Mechanism: SHA256}, "n,,n=user"},
		"escaped": {
			ClientConfig{Username: "a=b,=2C", Authzid: "a=b,=2C", Mechanism: SHA256},
			ServerConfig{Mechanism: SHA256, Lookup: lookup("a=b,=2C", verifier(t, "pencil"))},
			"n,a=a=3Db=2C=3D2C,n=a=3Db=2C=3D2C",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, c.client, c.server)
			if client, server := p.run(); client != nil || server != nil || !p.client.Verified() {
				t.Fatalf("client %v, server %v", client, server)
			}
			if got := p.client.gs2 + p.client.bare; !strings.HasPrefix(got, c.first+",r=") {
				t.Errorf("client-first is %q", got)
			}
		})
	}
}

// The logins that must not work, though both ends follow the protocol.
func TestLoginFails(t *testing.T) {
	t.Parallel()
	mitm := ChannelBinding{TypeExporter, []byte("ffffffffffffffffffffffffffffffff")}
	offered := ServerConfig{Mechanism: SHA256, PlusOffered: true, Bindings: []ChannelBinding{exporter}}
	for name, c := range map[string]struct {
		client ClientConfig
		server ServerConfig
		want   Error
	}{
		"6: downgrade":          {ClientConfig{Mechanism: SHA256, ServerLacksPlus: true}, offered, ErrBindingDowngrade},
		"8: through a middle":   {ClientConfig{Mechanism: SHA256Plus, Binding: mitm}, plusConfig, ErrBindingMismatch},
		"8: control, unbound":   {ClientConfig{Mechanism: SHA256}, offered, ""},
		"8: control, no middle": {ClientConfig{Mechanism: SHA256Plus, Binding: exporter}, plusConfig, ""},
		"12: foreign authzid":   {ClientConfig{Mechanism: SHA256, Authzid: "root"}, ServerConfig{Mechanism: SHA256}, ErrMalformed},
		"wrong password":        {ClientConfig{Mechanism: SHA256, Password: "Pencil"}, ServerConfig{Mechanism: SHA256}, ErrWrongProof},
		"wrong user":            {ClientConfig{Mechanism: SHA256, Username: "User"}, ServerConfig{Mechanism: SHA256}, ErrUnknownUser},
	} {
		p := newPair(t, c.client, c.server)
		client, server := p.run()
		if client != nil || c.want == "" && server != nil || c.want != "" && server != c.want {
			t.Errorf("%s: client %v, server %v, want %q", name, client, server, c.want)
		}
		if p.client.Verified() != (c.want == "") {
			t.Errorf("%s: verified is %t", name, p.client.Verified())
		}
	}
}

// A server's words are quoted in short, and as what they are.
func TestClientServerError(t *testing.T) {
	t.Parallel()
	p := plain(t)
	p.final(t)
	err := p.client.Verify([]byte("e=\"" + strings.Repeat("x", 5000)))
	if want := `server-error: "\"` + strings.Repeat("x", 63) + `"`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestClientSequence(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fresh := func() *pair { return plain(t) }
	steps := map[string]func() error{
		"Final first":  func() error { _, err := fresh().client.Final(ctx, []byte(rfcServerFirst)); return err },
		"Verify first": func() error { return fresh().client.Verify([]byte(rfcServerFinal)) },
		"First twice":  func() error { p := fresh(); p.first(t); _, err := p.client.First(); return err },
		"Verify after First": func() error {
			p := fresh()
			p.first(t)
			return p.client.Verify([]byte("v=" + encode(nil)))
		},
		"Final twice": func() error {
			p := fresh()
			m := p.first(t)
			if _, err := p.client.Final(ctx, m); err != nil {
				t.Error(err)
			}
			_, err := p.client.Final(ctx, m)
			return err
		},
		"Verify twice": func() error {
			p := fresh()
			if client, server := p.run(); client != nil || server != nil {
				t.Error(client, server)
			}
			return p.client.Verify([]byte("v=" + encode(p.client.signature)))
		},
	}
	for name, step := range steps {
		if err := step(); !errors.Is(err, ErrSequence) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	var got []string
	for s := stateStart; s <= stateFailed; s++ {
		got = append(got, s.String())
	}
	if diff := cmp.Diff([]string{"start", "first", "final", "done", "failed"}, got); diff != "" {
		t.Error(diff)
	}
	_, err := plain(t).client.Final(context.Background(), nil)
	if want := "sequence: state is start, not first"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestNewClient(t *testing.T) {
	t.Parallel()
	good := ClientConfig{Username: "user", Password: "pencil", Mechanism: SHA256}
	with := func(change func(*ClientConfig)) ClientConfig { c := good; change(&c); return c }
	for name, c := range map[string]struct {
		cfg  ClientConfig
		want error
	}{
		"control":              {good, nil},
		"zero":                 {ClientConfig{}, ErrPrepare},
		"no name":              {with(func(c *ClientConfig) { c.Username = "" }), ErrPrepare},
		"no password":          {with(func(c *ClientConfig) { c.Password = "" }), ErrPrepare},
		"prohibited name":      {with(func(c *ClientConfig) { c.Username = "\x07" }), ErrPrepare},
		"prohibited password":  {with(func(c *ClientConfig) { c.Password = "\x07" }), ErrPrepare},
		"no mechanism":         {with(func(c *ClientConfig) { c.Mechanism = "" }), ErrConfig},
		"other mechanism":      {with(func(c *ClientConfig) { c.Mechanism = "PLAIN" }), ErrConfig},
		"PLUS":                 {with(func(c *ClientConfig) { c.Mechanism, c.Binding = SHA256Plus, exporter }), nil},
		"PLUS without binding": {with(func(c *ClientConfig) { c.Mechanism = SHA256Plus }), ErrConfig},
		"PLUS without data":    {with(func(c *ClientConfig) { c.Mechanism, c.Binding.Type = SHA256Plus, TypeExporter }), ErrConfig},
		"PLUS with another type": {with(func(c *ClientConfig) {
			c.Mechanism, c.Binding = SHA256Plus, ChannelBinding{"tls-unique", exporter.Data}
		}), ErrConfig},
		"PLUS that is lacking": {with(func(c *ClientConfig) { c.Mechanism, c.Binding, c.ServerLacksPlus = SHA256Plus, exporter, true }), ErrConfig},
	} {
		client, err := NewClient(c.cfg)
		if !errors.Is(err, c.want) || (client == nil) != (c.want != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestClientRand(t *testing.T) {
	t.Parallel()
	broken := errors.New("no randomness")
	c := newPair(t, ClientConfig{Mechanism: SHA256, Rand: iotest.ErrReader(broken)}, ServerConfig{}).client
	if m, err := c.First(); !errors.Is(err, broken) || m != nil {
		t.Errorf("%q, %v", m, err)
	}
	c = newPair(t, ClientConfig{Mechanism: SHA256, Rand: io.LimitReader(zeros{}, 14)}, ServerConfig{}).client
	if m, err := c.First(); !errors.Is(err, io.ErrUnexpectedEOF) || m != nil {
		t.Errorf("%q, %v", m, err)
	}
	seen := map[string]bool{}
	for range 100 {
		c = newPair(t, ClientConfig{Mechanism: SHA256}, ServerConfig{}).client
		m, err := c.First()
		if err != nil || seen[string(m)] || len(m) != len("n,,n=user,r=")+len(zeroNonce) {
			t.Fatalf("%q, %v", m, err)
		}
		seen[string(m)] = true
	}
}

func TestSaltedPassword(t *testing.T) {
	t.Parallel()
	for _, iterations := range []int{1, 2, 3, 1023, 1024, 1025, 1026, 4096} {
		for _, password := range []string{"x", "pencil", strings.Repeat("long ", 40)} {
			for _, salt := range []string{"s", "sixteen octets..", strings.Repeat("salt", 256)} {
				want, err := pbkdf2.Key(sha256.New, password, []byte(salt), iterations, sha256.Size)
				if err != nil {
					t.Fatal(err)
				}
				got, err := saltedPassword(context.Background(), password, []byte(salt), iterations)
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%d iterations: %v %s", iterations, err, diff)
				}
			}
		}
	}
}
