package scenarios

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

func sybilMember() *member {
	return &member{
		summary: "an attacker with many connections",
		verbs: []verb{{
			args: "NUMBER idle|greeted|wrong-password|garbage", least: 2, most: 2, run: doSybil,
			summary: "idle: TCP connections that send nothing and stay; greeted: TLS connections that stay; wrong-password: logins; garbage: bytes that are no TLS. The output is how many the server took and refused.",
		}},
	}
}

// Sybil makes at most maxSybil connections, and atOnce at the same time.
const (
	maxSybil = 5000
	atOnce   = 16
)

func doSybil(ctx context.Context, c *call) (string, error) {
	n, err := strconv.Atoi(c.args[0])
	if err != nil || n < 1 || n > maxSybil {
		return "", fmt.Errorf("%q is no number from 1 to %d", c.args[0], maxSybil)
	}
	attacks := map[string]func(context.Context, *actor) (taken bool, err error){
		"idle": idle, "greeted": greeted, "wrong-password": wrongPassword, "garbage": garbage,
	}
	if err := oneOf("the attack", c.args[1], slices.Sorted(maps.Keys(attacks))...); err != nil {
		return "", err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken, places := 0, make(chan struct{}, atOnce)
	for i := range n {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			ok, failure := attacks[c.args[1]](ctx, c.stage.actor("sybil-"+strconv.Itoa(i)))
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

// idle counts each connection as taken, because a client can't know more.
func idle(ctx context.Context, a *actor) (taken bool, err error) {
	err = a.connect(ctx, connection{raw: true})
	return err == nil, err
}

func greeted(ctx context.Context, a *actor) (taken bool, err error) {
	if err = a.connect(ctx, connection{}); turnedAway(err) {
		return false, ctx.Err()
	} else if err != nil {
		return false, err
	}
	return a.greeting(ctx) == nil, ctx.Err()
}

// wrongPassword guesses a password until the server judges the guess. While the lobby is full it judges none.
func wrongPassword(ctx context.Context, a *actor) (taken bool, err error) {
	err = retry(ctx, true, func() error {
		defer a.close()
		return a.logsIn(ctx, &client.Dialer{}, client.Credentials{Username: a.stage.user("alice"), Password: a.name})
	})
	_, refused := errors.AsType[*protocol.ReplyError](err)
	if refused || errors.Is(err, client.ErrLoginFailed) {
		return false, nil
	}
	return err == nil, err
}

func garbage(ctx context.Context, a *actor) (taken bool, err error) {
	if err = a.connect(ctx, connection{raw: true}); err != nil {
		return false, err
	}
	_ = a.sendText(ctx, "GET / HTTP/1.1, without TLS", "GET / HTTP/1.1\r\n\r\n") // a reset is a refusal, too
	err = a.await(ctx, func() (bool, error) { return a.ended != nil, nil })
	return bytes.Contains(a.current().first(), []byte("HTTP")), err
}
