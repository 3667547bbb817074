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
			summary: "idle: TCP connections that send nothing and stay; greeted: TLS connections that stay, of which those count as taken that the server has not closed in the end; wrong-password: logins; garbage: bytes that are no TLS. The output is how many the server took and refused.",
		}},
	}
}

// Sybil makes at most maxSybil connections, and atOnce at the same time: more would push each other out of the
// lobby of a server with the default limits.
const (
	maxSybil = 5000
	atOnce   = 8
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
	taken, err := c.stage.attack(ctx, n, attacks[c.args[1]])
	if err == nil && c.args[1] == "greeted" {
		taken, err = c.stage.attack(ctx, n, stays)
	}
	return fmt.Sprintf("taken %d refused %d\n", taken, n-taken), err
}

// attack calls do for each of n connections, and counts how many the server took.
func (st *stage) attack(ctx context.Context, n int, do func(context.Context, *actor) (bool, error)) (taken int, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	places := make(chan struct{}, atOnce)
	for i := range n {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			ok, failure := do(ctx, st.actor("sybil-"+strconv.Itoa(i)))
			mu.Lock()
			defer mu.Unlock()
			if ok {
				taken++
			}
			err = cmp.Or(err, failure)
		})
	}
	wg.Wait()
	return taken, err
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

// stays reports whether a greeted connection is still served.
func stays(ctx context.Context, a *actor) (taken bool, err error) {
	if a.send(ctx, protocol.VerbNoop) != nil {
		return false, ctx.Err()
	}
	return a.expect(ctx, protocol.CodeDone) == nil, ctx.Err()
}

// wrongPassword guesses a password.
func wrongPassword(ctx context.Context, a *actor) (taken bool, err error) {
	defer a.close()
	d := &client.Dialer{}
	err = a.logsIn(ctx, d, d.Dial, client.Credentials{Username: a.stage.user("alice"), Password: a.name}, "235 welcome")
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
