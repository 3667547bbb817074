package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/specs/harness"
)

// sessionsPerStep is how many sessions a step has, whoever has them.
const sessionsPerStep = 64

// sessions are whole ones, from the dialing to the answer to QUIT, by so many
// clients at once who wait for each other's end. ns/op is the time that passes for
// each session of all. The floor is a handshake, one octet, and the end.
func sessions() Group {
	g := Group{Name: "Sessions", Rounds: 30, Block: 150 * time.Millisecond}
	for _, clients := range []int{1, 2, 8} {
		name := fmt.Sprintf("clients=%d/of=", clients)
		g.Subjects = append(g.Subjects,
			Subject{Name: name + "sallyport", Start: func(t T) *Rig { return crowdRig(clients, sessionOf(t)) }},
			Subject{Name: name + "tls", Start: func(t T) *Rig { return crowdRig(clients, visitOf(t)) }})
	}
	return g
}

// crowdRig has so many clients share a batch.
func crowdRig(clients int, session func() error) *Rig {
	return &Rig{Ops: sessionsPerStep, Step: func() (time.Duration, error) {
		goroutines, start := runtime.NumGoroutine(), time.Now()
		failed := make([]error, clients)
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				for range sessionsPerStep / clients {
					failed[i] = errors.Join(failed[i], session())
				}
			})
		}
		all.Wait()
		took := time.Since(start)
		return took, errors.Join(errors.Join(failed...), settle(goroutines))
	}}
}

func sessionOf(t T) func() error {
	t.Helper()
	v := newVisitor(t, scram.MinIterations, new(scram.KeyCache))
	return func() error {
		ctx := context.Background()
		c, err := v.dialer.Dial(ctx, v.h.Addr, harness.Credentials("alice"))
		if err != nil {
			return err
		}
		return errors.Join(useSeat(ctx, c), c.Quit(ctx))
	}
}

func useSeat(ctx context.Context, c *client.Client) error {
	_, err := c.Do(ctx, protocol.Request{Verb: protocol.VerbNoop})
	return err
}

func visitOf(t T) func() error {
	t.Helper()
	p := passerby{addr: floor{tls: serverTLS(harness.ECDSA)}.start(t)}
	config := p.config()
	return func() error {
		c, err := p.visit(config)
		if err != nil {
			return err
		}
		return c.Close()
	}
}
