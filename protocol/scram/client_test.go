package scram

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

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

// Battery 22, 23 and 25: what a client accepts of a server-first.
func TestClientServerFirst(t *testing.T) {
	t.Parallel()
	const r, s = "r=" + zeroNonce + "server", "s=c2l4dGVlbiBvY3RldHMuLg=="
	big := encode(make([]byte, 1<<20))
	for _, c := range []struct {
		battery       int
		name, message string
		want          Error
	}{
		{22, "control", r + "," + s + ",i=4096", ""},
		{22, "most iterations", r + "," + s + ",i=5000", ""},
		{22, "0", r + "," + s + ",i=0", ErrIterations},
		{22, "1", r + "," + s + ",i=1", ErrIterations},
		{22, "4095", r + "," + s + ",i=4095", ErrIterations},
		{22, "5001", r + "," + s + ",i=5001", ErrIterations},
		{22, "negative", r + "," + s + ",i=-4096", ErrIterations},
		{22, "sign", r + "," + s + ",i=+4096", ErrIterations},
		{22, "leading zero", r + "," + s + ",i=04096", ErrIterations},
		{22, "4096abc", r + "," + s + ",i=4096abc", ErrIterations},
		{22, "hexadecimal", r + "," + s + ",i=0x1000", ErrIterations},
		{22, "space", r + "," + s + ",i= 4096", ErrIterations},
		{22, "other digits", r + "," + s + ",i=\u0664\u0660\u0669\u0666", ErrIterations},
		{22, "underscore", r + "," + s + ",i=4_096", ErrIterations},
		{22, "2^31", r + "," + s + ",i=2147483648", ErrIterations},
		{22, "2^32+4096", r + "," + s + ",i=4294971392", ErrIterations},
		{22, "2^63", r + "," + s + ",i=9223372036854775808", ErrIterations},
		{22, "2^64+4096", r + "," + s + ",i=18446744073709555712", ErrIterations},
		{22, "many digits", r + "," + s + ",i=1" + strings.Repeat("0", 5000), ErrIterations},
		{22, "fifty million", r + "," + s + ",i=50000000", ErrIterations},
		{22, "empty", r + "," + s + ",i=", ErrMalformed},

		{23, "nonce not extended", "r=" + zeroNonce + "," + s + ",i=4096", ErrNonce},
		{23, "nonce extended by one", "r=" + zeroNonce + "x," + s + ",i=4096", ""},
		{23, "foreign nonce", "r=server" + zeroNonce + "," + s + ",i=4096", ErrNonce},
		{23, "part of the nonce", "r=" + zeroNonce[1:] + "," + s + ",i=4096", ErrNonce},
		{23, "nonce in lower case", "r=" + strings.ToLower(zeroNonce) + "server," + s + ",i=4096", ErrNonce},
		{23, "empty nonce", "r=," + s + ",i=4096", ErrMalformed},
		{23, "space in nonce", r + " x," + s + ",i=4096", ErrMalformed},
		{23, "non-ASCII nonce", r + "ö," + s + ",i=4096", ErrMalformed},
		{23, "empty salt", r + ",s=,i=4096", ErrMalformed},
		{23, "salt not base64", r + ",s=c2Fs!A==,i=4096", ErrMalformed},
		{23, "salt without padding", r + ",s=c2FsdA,i=4096", ErrMalformed},
		{23, "salt with trailing bits", r + ",s=c2FsdB==,i=4096", ErrMalformed},
		{23, "salt with a line end", r + ",s=c2Fs\ndA==,i=4096", ErrMalformed},
		{23, "salt of one octet", r + ",s=QQ==,i=4096", ""},
		{23, "salt of 1,024 octets", r + ",s=" + encode(make([]byte, maxSalt)) + ",i=4096", ""},
		{23, "salt of 1,025 octets", r + ",s=" + encode(make([]byte, maxSalt+1)) + ",i=4096", ErrMalformed},
		{23, "salt of 1 MiB", r + ",s=" + big + ",i=4096", ErrMalformed},

		{25, "optional extension", r + "," + s + ",i=4096,x=y", ""},
		{25, "nonce twice", r + "," + r + "," + s + ",i=4096", ErrMalformed},
		{25, "salt twice", r + "," + s + "," + s + ",i=4096", ErrMalformed},
		{25, "iterations twice", r + "," + s + ",i=4096,i=4096", ErrMalformed},
		{25, "extension twice", r + "," + s + ",i=4096,x=y,x=y", ErrMalformed},
		{25, "reordered", s + "," + r + ",i=4096", ErrMalformed},
		{25, "iterations before salt", r + ",i=4096," + s, ErrMalformed},
		{25, "m= in front", "m=x," + r + "," + s + ",i=4096", ErrMalformed},
		{25, "m= behind", r + "," + s + ",i=4096,m=x", ErrMalformed},
		{25, "no nonce", s + ",i=4096", ErrMalformed},
		{25, "no salt", r + ",i=4096", ErrMalformed},
		{25, "no iterations", r + "," + s, ErrMalformed},
		{25, "comma behind", r + "," + s + ",i=4096,", ErrMalformed},
		{25, "upper case", "R=" + r[2:] + "," + s + ",i=4096", ErrMalformed},
		{25, "control", r + "," + s + ",i=4096,x=\x01", ErrMalformed},
		{25, "invalid UTF-8", r + "," + s + ",i=4096,x=\xff", ErrMalformed},
		{25, "an error", "e=unknown-user", ErrMalformed},
		{25, "empty", "", ErrMalformed},
	} {
		t.Run(fmt.Sprintf("battery=%d/%s", c.battery, c.name), func(t *testing.T) {
			t.Parallel()
			client := newPair(t, ClientConfig{Mechanism: SHA256, MaxIterations: 5000, Rand: zeros{}}, ServerConfig{}).client
			if _, err := client.First(); err != nil {
				t.Fatal(err)
			}
			final, err := client.Final(context.Background(), []byte(c.message))
			if c.want == "" && err != nil || c.want != "" && err != c.want {
				t.Fatalf("%q, %v, want %q", final, err, c.want)
			}
			if err != nil {
				expectFinished(t, client, final)
			}
		})
	}
}

func expectFinished(t *testing.T, c *Client, message []byte) {
	t.Helper()
	if message != nil || c.Verified() {
		t.Errorf("message %q, verified %t", message, c.Verified())
	}
	if err := c.Verify([]byte("v=" + encode(c.signature))); !errors.Is(err, ErrSequence) || c.Verified() {
		t.Errorf("Verify after a failure: %v", err)
	}
}

func TestClientIterationBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		low, high, asked int
		want             error
	}{
		"lowest of the default":  {0, 0, MinIterations, nil},
		"below the default":      {0, 0, MinIterations - 1, ErrIterations},
		"above the default":      {0, 0, MaxIterations + 1, ErrIterations},
		"far above the default":  {0, 0, 50_000_000, ErrIterations},
		"lower bound lowered":    {10, 0, 10, nil},
		"below it":               {10, 0, 9, ErrIterations},
		"no bound that says yes": {-10, 0, 0, ErrIterations},
		"nor to less":            {-10, 0, -1, ErrIterations},
		"nothing between":        {5000, 4999, 5000, ErrIterations},
	} {
		client := newPair(t, ClientConfig{Mechanism: SHA256, MinIterations: c.low, MaxIterations: c.high, Rand: zeros{}}, ServerConfig{}).client
		if _, err := client.First(); err != nil {
			t.Fatal(err)
		}
		message := fmt.Sprintf("r=%sx,s=QQ==,i=%d", zeroNonce, c.asked)
		if _, err := client.Final(context.Background(), []byte(message)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// Battery 22: the context stops the computation, before it starts and while it runs.
func TestClientCancel(t *testing.T) {
	t.Parallel()
	run := func(ctx context.Context, iterations int) (*Client, []byte, error) {
		c := newPair(t, ClientConfig{Mechanism: SHA256, MaxIterations: math.MaxInt32, Rand: zeros{}}, ServerConfig{}).client
		if _, err := c.First(); err != nil {
			t.Fatal(err)
		}
		final, err := c.Final(ctx, fmt.Appendf(nil, "r=%sx,s=QQ==,i=%d", zeroNonce, iterations))
		return c, final, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, _, err := run(ctx, MinIterations); err != nil {
		t.Fatalf("control: %v", err)
	}
	cancel()
	c, final, err := run(ctx, MinIterations)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	expectFinished(t, c, final)
	// These would take minutes.
	ctx, cancel = context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	c, final, err = run(ctx, 2_000_000_000)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled meanwhile: %v", err)
	}
	expectFinished(t, c, final)
}

// Battery 24: what a client makes of a server-final.
func TestClientServerFinal(t *testing.T) {
	t.Parallel()
	constant := func(s string) func([]byte) string { return func([]byte) string { return s } }
	cases := []struct {
		name    string
		message func(signature []byte) string
		want    Error
	}{
		{"control", func(v []byte) string { return "v=" + encode(v) }, ""},
		{"optional extension", func(v []byte) string { return "v=" + encode(v) + ",x=y" }, ""},
		{"short", func(v []byte) string { return "v=" + encode(v[:31]) }, ErrServerUnverified},
		{"long", func(v []byte) string { return "v=" + encode(append(v, 0)) }, ErrServerUnverified},
		{"first octet", func(v []byte) string { v[0] ^= 1; return "v=" + encode(v) }, ErrServerUnverified},
		{"last octet", func(v []byte) string { v[31] ^= 0x80; return "v=" + encode(v) }, ErrServerUnverified},
		{"zeros", func(v []byte) string { clear(v); return "v=" + encode(v) }, ErrServerUnverified},
		{"no padding", func(v []byte) string { return strings.TrimRight("v="+encode(v), "=") }, ErrServerUnverified},
		{"trailing bits", func(v []byte) string { return trailingBits("v=" + encode(v)) }, ErrServerUnverified},
		{"line end", func(v []byte) string { return "v=" + encode(v) + "\r\n" }, ErrServerUnverified},
		{"comma behind", func(v []byte) string { return "v=" + encode(v) + "," }, ErrServerUnverified},
		{"twice", func(v []byte) string { return "v=" + encode(v) + ",v=" + encode(v) }, ErrServerUnverified},
		{"upper case", func(v []byte) string { return "V=" + encode(v) }, ErrServerUnverified},
		{"not base64", constant("v=!"), ErrServerUnverified},
		{"m= in front", func(v []byte) string { return "m=x,v=" + encode(v) }, ErrServerUnverified},
		{"m= behind", func(v []byte) string { return "v=" + encode(v) + ",m=x" }, ErrServerUnverified},
		{"extension in front", func(v []byte) string { return "x=y,v=" + encode(v) }, ErrServerUnverified},
		{"error behind", func(v []byte) string { return "v=" + encode(v) + ",e=other-error" }, ErrServerUnverified},
		{"empty", constant(""), ErrServerUnverified},
		{"empty v=", constant("v="), ErrServerUnverified},
		{"missing", constant("x=y"), ErrServerUnverified},
		{"empty error", constant("e="), ErrServerUnverified},
		{"error of their own", constant("e=closed-on-mondays"), ErrServerError},
		{"error with an extension", constant("e=other-error,x=y"), ErrServerError},
	}
	for _, e := range []string{
		"invalid-encoding", "extensions-not-supported", "invalid-proof", "channel-bindings-dont-match",
		"server-does-support-channel-binding", "channel-binding-not-supported", "unsupported-channel-binding-type",
		"unknown-user", "invalid-username-encoding", "no-resources", "other-error",
	} {
		cases = append(cases, cases[0])
		cases[len(cases)-1].name, cases[len(cases)-1].message, cases[len(cases)-1].want = e, constant("e="+e), ErrServerError
	}
	for _, c := range cases {
		t.Run("battery=24/"+c.name, func(t *testing.T) {
			t.Parallel()
			p := plus(t)
			p.final(t)
			signature := append([]byte(nil), p.client.signature...)
			err := p.client.Verify([]byte(c.message(signature)))
			if c.want == "" && err != nil || c.want != "" && !errors.Is(err, c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if err != nil {
				expectFinished(t, p.client, nil)
			}
		})
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

// cached reports whether keys for a login that asks for these values are in the cache.
func cached(t *testing.T, keys *KeyCache, name, password string, salt []byte, iterations int) bool {
	t.Helper()
	// A context that is done lets only a cached login through.
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
		p.final(t)
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
