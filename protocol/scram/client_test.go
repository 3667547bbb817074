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
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestClientIterationBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		low, high, asked int
		want             error
	}{
		"lower bound lowered":    {10, 0, 10, nil},
		"below it":               {10, 0, 9, ErrIterations},
		"upper bound lowered":    {0, 5000, 5000, nil},
		"above it":               {0, 5000, 5001, ErrIterations},
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
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	soon, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	for _, c := range []struct {
		ctx        context.Context
		iterations int
		want       error
	}{
		{context.Background(), MinIterations, nil},
		{cancelled, MinIterations, context.Canceled},
		{soon, 2_000_000_000, context.DeadlineExceeded}, // would take minutes
	} {
		client := newPair(t, ClientConfig{Mechanism: SHA256, MaxIterations: math.MaxInt32, Rand: zeros{}}, ServerConfig{}).client
		if _, err := client.First(); err != nil {
			t.Fatal(err)
		}
		final, err := client.Final(c.ctx, fmt.Appendf(nil, "r=%sx,s=QQ==,i=%d", zeroNonce, c.iterations))
		if !errors.Is(err, c.want) || (final == nil) != (c.want != nil) {
			t.Errorf("%d iterations: %q, %v, want %v", c.iterations, final, err, c.want)
		}
		if err := client.Verify(nil); c.want != nil && !errors.Is(err, ErrSequence) {
			t.Errorf("Verify after a failure: %v", err)
		}
	}
}

// An error quotes a server's text, escaped and shortened.
func TestClientServerError(t *testing.T) {
	t.Parallel()
	p := plain(t)
	p.messages(t, 3)
	err := p.client.Verify([]byte("e=\"" + strings.Repeat("x", 5000)))
	if want := `server-error: "\"` + strings.Repeat("x", 63) + `"`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// The letters stand for steps: c and s are First of client and server, C and S are Final, and v is Verify. After
// a step out of order that end has failed, and each further step fails.
func TestSequence(t *testing.T) {
	t.Parallel()
	for _, steps := range []string{"C", "v", "cc", "cv", "csv", "csCC", "csCSvv", "S", "css", "csCSS"} {
		do := plain(t).steps(t.Context())
		var last []byte
		var err error
		for i, letter := range steps {
			if last, err = do[strings.IndexRune("csCSv", letter)](last); errors.Is(err, ErrSequence) != (i == len(steps)-1) {
				t.Errorf("%s: step %d: %v", steps, i, err)
			}
		}
		end := strings.IndexByte("csCSv", steps[len(steps)-1]) % 2
		for i := end; i < len(do); i += 2 {
			if last, err = do[i](last); !errors.Is(err, ErrSequence) || last != nil {
				t.Errorf("%s, then step %d: %q, %v", steps, i, last, err)
			}
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
				noError(t, err)
				got, err := saltedPassword(context.Background(), password, []byte(salt), iterations)
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%d iterations: %v %s", iterations, err, diff)
				}
			}
		}
	}
}
