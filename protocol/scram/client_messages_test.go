package scram

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

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
