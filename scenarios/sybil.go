package scenarios

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

func sybilMember() *member {
	return &member{
		summary: "comes in numbers",
		verbs: []verb{{
			args: "NUMBER idle|greeted|wrong-password|garbage", least: 2, most: 2, run: doSybil,
			summary: "idle: TCP connections that say nothing and stay; greeted: TLS connections that stay; wrong-password: logins; garbage: octets that are no TLS. The output says how many the server took and refused.",
		}},
	}
}

// maxSybil bounds how many she can be.
const maxSybil = 5000

func doSybil(ctx context.Context, c *call) (string, error) {
	n, err := strconv.Atoi(c.args[0])
	if err != nil || n < 1 || n > maxSybil {
		return "", fmt.Errorf("%q is no number from 1 to %d", c.args[0], maxSybil)
	}
	deeds := map[string]func(context.Context, *actor) (bool, error){
		"idle": idle, "greeted": greeted, "wrong-password": wrongPassword, "garbage": garbage,
	}
	deed, ok := deeds[c.args[1]]
	if !ok {
		return "", fmt.Errorf("sybil can't %q but idle, greeted, wrong-password or garbage", c.args[1])
	}
	taken, err := c.stage.crowd(ctx, n, deed)
	return fmt.Sprintf("taken %d refused %d\n", taken, n-taken), err
}

// crowd does something many times, a few at once.
func (st *stage) crowd(ctx context.Context, n int, deed func(context.Context, *actor) (bool, error)) (taken int, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	tokens := make(chan struct{}, 16)
	for i := range n {
		wg.Go(func() {
			tokens <- struct{}{}
			defer func() { <-tokens }()
			ok, failure := deed(ctx, st.actor("sybil-"+strconv.Itoa(i)))
			mu.Lock()
			defer mu.Unlock()
			if ok {
				taken++
			}
			if failure != nil && err == nil {
				err = failure
			}
		})
	}
	wg.Wait()
	return taken, err
}

func (a *actor) raw(ctx context.Context) (net.Conn, *tls.Config, error) {
	addr, config, err := a.where()
	if err != nil {
		return nil, nil, err
	}
	a.begin()
	defer a.speaks("connects")()
	raw, err := a.dial(ctx, "tcp", addr)
	return raw, config, err
}

// idle is taken as far as anybody can tell from outside.
func idle(ctx context.Context, a *actor) (bool, error) {
	_, _, err := a.raw(ctx)
	return err == nil, err
}

func greeted(ctx context.Context, a *actor) (bool, error) {
	raw, config, err := a.raw(ctx)
	if err != nil {
		return false, err
	}
	defer a.current().closeAfter(ctx)()
	config.NextProtos = []string{protocol.ALPN}
	conn := tls.Client(raw, config)
	if conn.HandshakeContext(ctx) != nil {
		return false, ctx.Err()
	}
	line, err := protocol.NewReader(conn).ReadLine()
	return err == nil && strings.HasPrefix(string(line), "220 "), ctx.Err()
}

// wrongPassword guesses until she is told whether it is right: where she comes
// too often at once she is turned away at the door, and comes again.
func wrongPassword(ctx context.Context, a *actor) (bool, error) {
	for {
		err := a.logsIn(ctx, &client.Dialer{}, client.Credentials{Username: a.stage.user("alice"), Password: a.name})
		a.close()
		_, told := errors.AsType[*protocol.ReplyError](err)
		_, early := errors.AsType[*client.ConnectError](err)
		switch {
		case told || errors.Is(err, client.ErrLoginFailed):
			return false, nil
		case err == nil || ctx.Err() != nil || !early || !turnedAway(err):
			return err == nil, err
		}
	}
}

func garbage(ctx context.Context, a *actor) (bool, error) {
	raw, _, err := a.raw(ctx)
	if err != nil {
		return false, err
	}
	defer a.current().closeAfter(ctx)()
	said := a.speaks("GET / HTTP/1.1, without TLS")
	_, _ = io.WriteString(raw, "GET / HTTP/1.1\r\n\r\n")
	said()
	answer, err := io.ReadAll(io.LimitReader(raw, 1024))
	a.close()
	return strings.Contains(string(answer), "HTTP"), cmp.Or(ctx.Err(), unlessReset(err))
}

// unlessReset drops a reset, which is an answer as good as another here.
func unlessReset(err error) error {
	if _, ok := err.(*net.OpError); ok {
		return nil
	}
	return err
}
