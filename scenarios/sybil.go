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
		summary: "an attacker with many connections",
		verbs: []verb{{
			args: "NUMBER idle|greeted|wrong-password|garbage", least: 2, most: 2, run: doSybil,
			summary: "idle: TCP connections that send nothing and stay; greeted: TLS connections that stay; wrong-password: logins; garbage: bytes that are no TLS. The output says how many the server took and refused.",
		}},
	}
}

const (
	// maxSybil bounds Sybil's connections.
	maxSybil = 5000
	// atOnce bounds the connections that she makes at the same time.
	atOnce = 16
)

func doSybil(ctx context.Context, c *call) (string, error) {
	n, err := strconv.Atoi(c.args[0])
	if err != nil || n < 1 || n > maxSybil {
		return "", fmt.Errorf("%q is no number from 1 to %d", c.args[0], maxSybil)
	}
	attacks := map[string]func(context.Context, *actor) (taken bool, err error){
		"idle": idle, "greeted": greeted, "wrong-password": wrongPassword, "garbage": garbage,
	}
	attack, ok := attacks[c.args[1]]
	if !ok {
		return "", fmt.Errorf("sybil can't %q but idle, greeted, wrong-password or garbage", c.args[1])
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken, places := 0, make(chan struct{}, atOnce)
	for i := range n {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			ok, failure := attack(ctx, c.stage.actor("sybil-"+strconv.Itoa(i)))
			mu.Lock()
			defer mu.Unlock()
			if ok {
				taken++
			}
			err = cmp.Or(err, failure)
		})
	}
	wg.Wait()
	return fmt.Sprintf("taken %d refused %d\n", taken, n-taken), err
}

// raw makes a TCP connection.
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

// idle counts every connection as taken: a client can't know more.
func idle(ctx context.Context, a *actor) (taken bool, err error) {
	_, _, err = a.raw(ctx)
	return err == nil, err
}

func greeted(ctx context.Context, a *actor) (taken bool, err error) {
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

// wrongPassword guesses a password, again and again until the server judges the guess: while the lobby is
// full it judges none.
func wrongPassword(ctx context.Context, a *actor) (taken bool, err error) {
	for {
		err := a.logsIn(ctx, &client.Dialer{}, client.Credentials{Username: a.stage.user("alice"), Password: a.name})
		a.close()
		_, refused := errors.AsType[*protocol.ReplyError](err)
		_, early := errors.AsType[*client.ConnectError](err)
		switch {
		case refused || errors.Is(err, client.ErrLoginFailed):
			return false, nil
		case err == nil || ctx.Err() != nil || !early || !turnedAway(err):
			return err == nil, err
		}
	}
}

func garbage(ctx context.Context, a *actor) (taken bool, err error) {
	raw, _, err := a.raw(ctx)
	if err != nil {
		return false, err
	}
	defer a.current().closeAfter(ctx)()
	sent := a.speaks("GET / HTTP/1.1, without TLS")
	_, _ = io.WriteString(raw, "GET / HTTP/1.1\r\n\r\n")
	sent()
	answer, err := io.ReadAll(io.LimitReader(raw, 1024))
	a.close()
	if _, reset := err.(*net.OpError); reset { // which is a refusal, too
		err = nil
	}
	return strings.Contains(string(answer), "HTTP"), cmp.Or(ctx.Err(), err)
}
