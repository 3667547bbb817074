package scram

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const standardFirst = "n,,n=user,r=cnonce"

// pencil is what a client derives from the password of newPair's user.
var pencil = sync.OnceValue(func() derived {
	keys, err := derive(context.Background(), "pencil", testSalt, testCount)
	if err != nil {
		panic(err)
	}
	return keys
})

// forge ends a client-final with the proof of one who knows the password, whatever it says: what
// is wrong with it is then the fault under test alone.
func forge(bare, serverFirst, withoutProof string) string {
	proof := sign(pencil().storedKey, []byte(bare+","+serverFirst+","+withoutProof))
	subtle.XORBytes(proof, proof, pencil().clientKey)
	return withoutProof + ",p=" + encode(proof)
}

func gs2Of(first string) string {
	parts := strings.SplitN(first, ",", 3)
	return parts[0] + "," + parts[1] + ","
}

// loginCase is a login in which at most one thing is wrong.
type loginCase struct {
	battery int
	name    string
	cfg     ServerConfig                           // zero: plain SHA256
	user    string                                 // that the server knows; empty: user
	first   string                                 // client-first; empty: standardFirst
	final   func(channel, nonce string) string     // client-final without proof; nil: as it should be
	alter   func(final string) string              // client-final after its proof was made
	stage   string                                 // the step that fails; empty: none
	want    Error                                  // with which error
	lookup  func(name string) (v Verifier, b bool) // nil: knows user
}

// attempt runs the case and gives the step that failed.
func (c loginCase) attempt(t *testing.T) (s *Server, stage string, err error) {
	t.Helper()
	if c.cfg.Mechanism == "" {
		c.cfg.Mechanism = SHA256
	}
	if c.user == "" {
		c.user = "user"
	}
	if c.first == "" {
		c.first = standardFirst
	}
	c.cfg.Lookup = lookup(c.user, verifier(t, "pencil"))
	if c.lookup != nil {
		c.cfg.Lookup = c.lookup
	}
	s = NewServer(c.cfg)
	serverFirst, err := s.First([]byte(c.first))
	if err != nil {
		return s, "first", err
	}
	nonce, _, _ := strings.Cut(strings.TrimPrefix(string(serverFirst), "r="), ",")
	final := "c=" + encode(s.channel) + ",r=" + nonce
	if c.final != nil {
		final = c.final(encode(s.channel), nonce)
	}
	final = forge(strings.TrimPrefix(c.first, gs2Of(c.first)), string(serverFirst), final)
	if c.alter != nil {
		final = c.alter(final)
	}
	serverFinal, err := s.Final([]byte(final))
	if err != nil {
		return s, "final", err
	}
	signature := sign(pencil().serverKey, []byte(s.auth+","+final[:strings.LastIndex(final, ",p=")]))
	if string(serverFinal) != "v="+encode(signature) {
		t.Errorf("server-final is %q", serverFinal)
	}
	return s, "", nil
}

func (c loginCase) run(t *testing.T) {
	t.Helper()
	s, stage, err := c.attempt(t)
	if stage != c.stage || c.want == "" && err != nil || c.want != "" && !errors.Is(err, c.want) {
		t.Fatalf("failed at %q with %v, want %q at %q", stage, err, c.want, c.stage)
	}
	if err == nil {
		return
	}
	for _, again := range []func([]byte) ([]byte, error){s.First, s.Final} {
		if m, err := again([]byte(standardFirst)); !errors.Is(err, ErrSequence) || m != nil {
			t.Errorf("after the failure: %q, %v", m, err)
		}
	}
}

// control removes the fault from the messages: it must then succeed.
func (c loginCase) control() loginCase {
	first := standardFirst
	if c.cfg.Mechanism == SHA256Plus {
		first = "p=tls-exporter,,n=user,r=cnonce"
	}
	return loginCase{cfg: c.cfg, first: first}
}

func runCases(t *testing.T, cases []loginCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(fmt.Sprintf("battery=%d/%s", c.battery, c.name), func(t *testing.T) {
			t.Parallel()
			c.run(t)
			if c.stage != "" && c.user == "" {
				c.control().run(t)
			}
		})
	}
}

// An unknown user goes as far as a wrong password, and the peer can't tell them apart.
func TestServerUnknownUser(t *testing.T) {
	t.Parallel()
	login := func(name, password string) error {
		p := newPair(t, ClientConfig{Username: name, Password: password, Mechanism: SHA256}, ServerConfig{Mechanism: SHA256})
		client, server := p.run()
		if client != nil {
			t.Errorf("%s: client failed: %v", name, client)
		}
		if p.server.Username() != name {
			t.Errorf("username is %q, want %q", p.server.Username(), name)
		}
		return server
	}
	if err := login("nobody", "pencil"); err != ErrUnknownUser {
		t.Errorf("unknown user: %v", err)
	}
	if err := login("user", "wrong"); err != ErrWrongProof {
		t.Errorf("wrong password: %v", err)
	}
	if err := login("user", "pencil"); err != nil {
		t.Errorf("control: %v", err)
	}
	// Not even with the verifier's own password, if Lookup says that the user is unknown.
	v := verifier(t, "pencil")
	loginCase{lookup: func(string) (Verifier, bool) { return v, false }, stage: "final", want: ErrUnknownUser}.run(t)
	loginCase{lookup: func(string) (Verifier, bool) { return v, true }}.run(t)
}

// Battery 4: a recorded exchange is worth nothing later.
func TestServerReplay(t *testing.T) {
	t.Parallel()
	p := newPair(t, ClientConfig{Mechanism: SHA256}, ServerConfig{Mechanism: SHA256})
	first, final := p.messages(t)
	if m, err := p.server.Final(final); !errors.Is(err, ErrSequence) || m != nil {
		t.Errorf("client-final twice: %q, %v", m, err)
	}
	s := NewServer(p.server.cfg)
	if _, err := s.First(first); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Final(final); err != ErrNonce {
		t.Errorf("on a new connection: %v", err)
	}
	// With the server's old nonce it would have passed: it is the nonce that protects.
	p = plain(t)
	first, final = p.messages(t)
	s = NewServer(p.server.cfg)
	if _, err := s.First(first); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Final(final); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestServerSequence(t *testing.T) {
	t.Parallel()
	p := plain(t)
	first, final := p.messages(t)
	s := NewServer(p.server.cfg)
	if _, err := s.Final(final); !errors.Is(err, ErrSequence) {
		t.Errorf("Final before First: %v", err)
	}
	if _, err := s.First(first); !errors.Is(err, ErrSequence) {
		t.Errorf("First after a failure: %v", err)
	}
	s = NewServer(p.server.cfg)
	if _, err := s.First(first); err != nil {
		t.Fatal(err)
	}
	if _, err := s.First(first); !errors.Is(err, ErrSequence) {
		t.Errorf("First twice: %v", err)
	}
	if _, err := s.Final(final); !errors.Is(err, ErrSequence) {
		t.Errorf("Final after First twice: %v", err)
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
	for _, c := range []struct {
		cfg   ServerConfig
		first string
		fails bool
		want  names
	}{
		{plusConfig, "p=tls-exporter,,n=us\u00ader,r=x", false, names{"user", TypeExporter}},
		{plusConfig, "p=tls-server-end-point,,n=other,r=x", false, names{"other", TypeServerEndPoint}},
		{plusConfig, "p=tls-unique,,n=user,r=x", true, names{"user", ""}},
		{ServerConfig{Mechanism: SHA256, PlusOffered: true}, "y,,n=user,r=x", true, names{"user", ""}},
		{ServerConfig{Mechanism: SHA256}, "n,a=root,n=user,r=x", true, names{"user", ""}},
		{ServerConfig{Mechanism: SHA256}, "n,,n=user,r=", true, names{"user", ""}},
		{ServerConfig{Mechanism: SHA256}, "n,,r=x", true, names{"", ""}},
		{ServerConfig{Mechanism: SHA256}, "", true, names{"", ""}},
		{ServerConfig{Mechanism: SHA256}, "n,,n=a=b,r=x", true, names{"", ""}},
	} {
		c.cfg.Lookup = lookup("user", verifier(t, "pencil"))
		s := NewServer(c.cfg)
		// What the names say after a failure is the point, but none of these may do without one.
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
		first := string(p.first(t))
		nonce, _, _ := strings.Cut(first, ",")
		if len(nonce) != len("r=")+2*len(zeroNonce) || seen[nonce] {
			t.Fatalf("nonce %q", nonce)
		}
		seen[nonce] = true
	}
	if !strings.HasPrefix(string(plain(t).first(t)), "r="+zeroNonce+zeroNonce+",") {
		t.Error("Rand is not used")
	}
}
