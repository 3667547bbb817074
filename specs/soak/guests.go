package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

// guest is one client: what it is made of, and what it notes.
type guest struct {
	*act
	r    *rand.Rand
	note *attempt
	path *path
}

// asRefusal returns the reply that an error carries.
func asRefusal(err error) (*protocol.ReplyError, bool) {
	return errors.AsType[*protocol.ReplyError](err)
}

// newGuest begins an attempt over a path. The caller ends it with guest.leave.
func (a *act) newGuest(ctx context.Context, r *rand.Rand, kind, user, from string, f fate) (*guest, error) {
	p, err := newPath(ctx, a.host.addr(), from, f)
	if err != nil {
		return nil, err
	}
	g := &guest{act: a, r: r, path: p, note: &attempt{
		id: fmt.Sprintf("%s-%s-%08x", kind, user, r.Uint32()), kind: kind, fate: f.kind,
		user: user, password: a.accounts.current(user), began: time.Now(),
	}}
	return g, nil
}

// leave ends the path, and hands the note in.
func (g *guest) leave() {
	g.path.close()
	g.note.remote, g.note.dialed = g.path.seen()
	g.journal.add(g.note)
	g.count("clients: " + g.note.kind)
	if g.note.fate != clean {
		g.count("connections with a network fault: " + g.note.fate)
	}
	if !g.note.seated.IsZero() || g.note.exit == exitDone {
		g.count("sessions")
	}
	if g.note.exit > 0 {
		g.count(fmt.Sprintf("exit codes: %s %d", g.note.kind, g.note.exit-exitDone))
	}
	if g.note.last.Code != 0 {
		g.count(fmt.Sprintf("refusals: %d %s", g.note.last.Code, g.note.last.Keyword))
	}
	g.countN("requests answered", len(g.note.exchanges))
}

// dial logs in and waits for the seat.
func (g *guest) dial(ctx context.Context, noWait bool) (*client.Client, error) {
	d := client.Dialer{
		TLSConfig: &tls.Config{RootCAs: g.roots}, NoWait: noWait, Keys: g.keys, LoginTimeout: 10 * time.Second,
	}
	c, err := d.Dial(ctx, g.path.addr, client.Credentials{Username: g.note.user, Password: g.note.password})
	if err != nil {
		return nil, g.failed(err)
	}
	g.note.seated = time.Now()
	return c, nil
}

// failed notes the error that ended the attempt, and returns it.
func (g *guest) failed(err error) error {
	g.note.err = err
	if refusal, ok := asRefusal(err); ok {
		g.note.last = *refusal
	}
	return err
}

// do sends one request and notes the answer. It returns an error if the session is over.
func (g *guest) do(ctx context.Context, c *client.Client, request protocol.Request, noted string) error {
	sent := time.Now()
	reply, err := c.Do(ctx, request)
	if refusal, ok := asRefusal(err); err != nil && (!ok || refusal.Code == protocol.CodeClosing) {
		return g.failed(err)
	}
	request.Verb = noted
	g.note.answered(request, reply, sent)
	return nil
}

// request returns a random request, and the verb that the log has for it.
func (g *guest) request() (request protocol.Request, noted string) {
	switch n := g.r.IntN(10); {
	case n < 3:
		request = protocol.Request{Verb: "ECHO", Argument: strings.Repeat("x", g.r.IntN(200))}
	case n < 5:
		request = protocol.Request{Verb: "ECHO", Body: make([]byte, g.r.IntN(20<<10))}
	case n < 9:
		request.Verb = []string{"TIME", "WHOAMI", "HELP", "NOOP", "STAT"}[g.r.IntN(5)]
	default:
		return protocol.Request{Verb: "SECRET"}, "" // unknown
	}
	return request, request.Verb
}

// stay waits as long as a client does between two requests.
func (g *guest) stay(ctx context.Context) bool {
	return pause(ctx, time.Duration(g.r.IntN(6))*time.Millisecond)
}

// talk sends requests one after another.
func (g *guest) talk(ctx context.Context) {
	c, err := g.dial(ctx, g.r.IntN(8) == 0)
	if err != nil {
		return
	}
	defer c.Close()
	for range 1 + g.r.IntN(20) {
		request, noted := g.request()
		if g.do(ctx, c, request, noted) != nil || !g.stay(ctx) {
			return
		}
	}
	if g.r.IntN(4) > 0 {
		g.do(ctx, c, protocol.Request{Verb: "QUIT"}, "QUIT")
	}
}

// pipeline sends many requests at once.
func (g *guest) pipeline(ctx context.Context) {
	c, err := g.dial(ctx, false)
	if err != nil {
		return
	}
	defer c.Close()
	for range 1 + g.r.IntN(4) {
		var requests []protocol.Request
		var noted []string
		for range 1 + g.r.IntN(60) {
			request, verb := g.request()
			requests, noted = append(requests, request), append(noted, verb)
		}
		sent := time.Now()
		replies, err := c.Pipeline(ctx, requests, nil)
		for i, reply := range replies {
			if reply.Code == protocol.CodeClosing {
				break
			}
			requests[i].Verb = noted[i]
			g.note.answered(requests[i], reply, sent)
		}
		if err != nil {
			g.failed(err)
			return
		}
	}
}

// linger has the seat without a request but NOOP, until the server ends the session or a few seconds are over.
func (g *guest) linger(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	c, err := g.dial(ctx, false)
	if err != nil {
		return
	}
	defer c.Close()
	for range 1 + g.r.IntN(10) {
		if !pause(ctx, 300*time.Millisecond) || g.do(ctx, c, protocol.Request{Verb: "NOOP"}, "NOOP") != nil {
			return
		}
	}
}

// impatient leaves the queue without a word.
func (g *guest) impatient(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(5+g.r.IntN(300))*time.Millisecond)
	defer cancel()
	if c, err := g.dial(ctx, false); err == nil {
		g.do(ctx, c, protocol.Request{Verb: "TIME"}, "TIME")
		_ = c.Close()
	}
}

// stream uses the device by OPEN.
func (g *guest) stream(ctx context.Context) {
	c, err := g.dial(ctx, false)
	if err != nil {
		return
	}
	defer c.Close()
	sent := time.Now()
	s, err := c.Open(ctx)
	if err != nil {
		g.failed(err)
		return
	}
	g.note.answered(protocol.Request{Verb: "OPEN"}, protocol.Reply{Code: protocol.CodeOpen}, sent)
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	lines := bufio.NewReader(s)
	for i := range 1 + g.r.IntN(30) {
		line := "PING"
		if i == 0 {
			line = "USE " + g.note.id
		}
		_ = s.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := fmt.Fprintln(s, line); err != nil {
			return
		}
		if _, err := lines.ReadString('\n'); err != nil || !g.stay(ctx) {
			return
		}
	}
	if g.r.IntN(3) > 0 {
		fmt.Fprintln(s, "DONE")
		_ = s.CloseWrite()
		_, _ = lines.ReadString(0)
	}
}

// forgetful tries the password before the current one.
func (g *guest) forgetful(ctx context.Context) {
	g.note.password = g.accounts.former(g.note.user)
	if c, err := g.dial(ctx, false); err == nil {
		g.do(ctx, c, protocol.Request{Verb: "WHOAMI"}, "WHOAMI")
		_ = c.Close()
	}
}
