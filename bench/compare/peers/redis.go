package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sallyport/sallyport/bench"
)

// window is how many requests are on their way at once.
const window = 64

// line is what each of them has sent back.
const line = "0123456789abcdef"

// pipelines are batches of short requests; ns/op is for one of them.
func (s *servers) pipelines(err error) bench.Group {
	const name = "window=64/of="
	g := bench.Group{Name: "PeerPipeline", Rounds: 60, Subjects: []bench.Subject{
		product("Pipeline", name+"sallyport", name+"sallyport"),
	}}
	switch {
	case err != nil:
		g.Subjects = append(g.Subjects, failing(name+"redis", err))
	case s != nil:
		g.Subjects = append(g.Subjects,
			bench.Subject{Name: name + "redis", Start: s.rawRedis},
			bench.Subject{Name: name + "redis-go", Start: s.goRedis},
		)
	}
	return g
}

// rawRedis is the fastest client that Redis can have: it writes a batch that was
// encoded beforehand, and compares the answer as a whole. The product's encodes and
// parses each time.
func (s *servers) rawRedis(t bench.T) *bench.Rig {
	t.Helper()
	c, err := dialTLS(s.Redis, s.tls(tls.X25519))
	if err != nil {
		t.Fatalf("redis: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := exchange(c, fmt.Sprintf("*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n", len(s.password), s.password), "+OK\r\n"); err != nil {
		t.Fatalf("redis: %v", err)
	}
	batch := strings.Repeat("*2\r\n$4\r\nECHO\r\n$16\r\n"+line+"\r\n", window)
	answer := strings.Repeat("$16\r\n"+line+"\r\n", window)
	return &bench.Rig{Ops: window, Step: timed(func() error { return exchange(c, batch, answer) })}
}

func exchange(c net.Conn, request, answer string) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	got := make([]byte, len(answer))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != answer {
		return fmt.Errorf("redis answered %.60q", got)
	}
	return nil
}

// goRedis is the client that Go programs have, with its pipeline.
func (s *servers) goRedis(t bench.T) *bench.Rig {
	c := redis.NewClient(&redis.Options{
		Addr: s.Redis, Password: s.password, TLSConfig: s.tls(tls.X25519), PoolSize: 1, DisableIdentity: true,
	})
	t.Cleanup(func() { _ = c.Close() })
	ctx, replies := context.Background(), make([]*redis.StringCmd, window)
	return &bench.Rig{Ops: window, Step: func() (time.Duration, error) {
		start := time.Now()
		batch := c.Pipeline()
		for i := range replies {
			replies[i] = batch.Echo(ctx, line)
		}
		_, err := batch.Exec(ctx)
		took := time.Since(start)
		if err == nil && replies[window-1].Val() != line {
			err = errors.New("redis: not echoed")
		}
		return took, err
	}}
}
