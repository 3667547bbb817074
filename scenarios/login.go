package scenarios

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// The steps of a login. The name of a step is what the client sends next.
const (
	atCommand = iota
	atClientFirst
	atClientFinal
	atEmptyLine
	atSeat
	atSession
)

var loginSteps = []string{"command", "client-first", "client-final", "empty-line", "seat", "session"}

// A lineLogin is a login line by line.
type lineLogin struct {
	*testserver.Login
	step int
	// next is the line that the client sends next.
	next string
}

func doReaches(ctx context.Context, c *call) (string, error) {
	step := slices.Index(loginSteps, c.args[0])
	if step < 0 {
		return "", fmt.Errorf("there is no step %q; there are: %s", c.args[0], strings.Join(loginSteps, " "))
	}
	o, err := parseOptions(c.args[1:], "user", "password", "binding")
	if err != nil {
		return "", err
	}
	l, err := c.actor().proceed(ctx, step, o)
	if err != nil {
		return "", err
	}
	return l.next + "\n", nil
}

// doAuthenticates logs in until it has sent the empty line, which asks for the seat. It sends the arguments in
// the same record.
func doAuthenticates(ctx context.Context, c *call) (string, error) {
	a := c.actor()
	l, err := a.proceed(ctx, atClientFinal, nil)
	if err != nil {
		return "", err
	}
	switch l.step {
	case atClientFinal:
		err = a.proves(ctx, l, append([]string{l.next, ""}, c.args...)...)
	case atEmptyLine:
		err = a.send(ctx, append([]string{""}, c.args...)...)
	default:
		err = fmt.Errorf("the login is at the %s already", loginSteps[l.step])
	}
	if err == nil {
		l.step, l.next = atSeat, ""
	}
	return "", err
}

// proceed continues a login to a step, or begins it with the options.
func (a *actor) proceed(ctx context.Context, step int, o options) (*lineLogin, error) {
	l, err := a.lineLogin(ctx, o)
	if err != nil {
		return nil, err
	}
	for l.step < step {
		if err := a.advance(ctx, l, step); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// lineLogin returns the current login, or begins one.
func (a *actor) lineLogin(ctx context.Context, o options) (*lineLogin, error) {
	a.mu.Lock()
	l, conn, old, connected := a.login, a.tls, a.before, a.lines != nil
	a.mu.Unlock()
	switch {
	case !connected:
		return nil, a.unconnected()
	case l != nil && len(o) > 0:
		return nil, errors.New("the login has begun: give its options with the first step")
	case l != nil:
		return l, nil
	case o["binding"] == "old" && old == nil:
		return nil, errors.New("there is no earlier TLS connection to bind the login to")
	case o["binding"] == "old":
		conn = old
	}
	if err := a.greeting(ctx); err != nil {
		return nil, err
	}
	l, err := a.newLineLogin(conn, o)
	if err == nil {
		a.mu.Lock()
		a.login = l
		a.mu.Unlock()
	}
	return l, err
}

// greeting waits for the greeting, unless the script has heard it.
func (a *actor) greeting(ctx context.Context) error {
	a.mu.Lock()
	greeted := a.greeted
	a.mu.Unlock()
	if greeted {
		return nil
	}
	return a.expect(ctx, protocol.CodeReady)
}

// expect waits for a reply with this code.
func (a *actor) expect(ctx context.Context, code protocol.Code) error {
	reply, err := a.nextReply(ctx)
	if err == nil && reply.Code != code {
		err = fmt.Errorf("expected %d, heard %s", code, oneLine(reply))
	}
	return err
}

func (a *actor) newLineLogin(conn *tls.Conn, o options) (*lineLogin, error) {
	config := scram.ClientConfig{
		Username: a.stage.user(a.name), Password: a.stage.password(a.name), Keys: &keys,
	}
	a.stage.reveal(o)
	o.text("user", &config.Username)
	o.text("password", &config.Password)
	if err := oneOf("binding", cmp.Or(o["binding"], "none"), "none", "old"); err != nil {
		return nil, err
	}
	if o["binding"] == "none" || a.stage.choice.get("mechanism") == "plain" {
		config.Mechanism = scram.SHA256
	}
	login, err := testserver.NewLogin(conn, config)
	if err != nil {
		return nil, err
	}
	auth, err := login.Auth()
	return &lineLogin{Login: login, next: auth}, err
}

// advance does one step on the way to another.
func (a *actor) advance(ctx context.Context, l *lineLogin, to int) (err error) {
	switch l.step {
	case atCommand, atClientFirst:
		if l.step == atCommand && to == atClientFirst {
			first := strings.LastIndexByte(l.next, ' ')
			_, err = a.challenge(ctx, l.next[:first])
			l.next = l.next[first+1:]
			break
		}
		var challenge string
		if challenge, err = a.challenge(ctx, l.next); err == nil {
			l.next, err = l.Final(ctx, challenge)
		}
		l.step = atClientFirst
	case atClientFinal:
		err = a.proves(ctx, l, l.next)
	case atEmptyLine:
		err = a.send(ctx, "")
	case atSeat:
		err = a.expect(ctx, protocol.CodeSeated)
	}
	if err == nil {
		l.step++
	}
	return err
}

// proves sends lines that begin with client-final, and checks the server's signature in the answer.
func (a *actor) proves(ctx context.Context, l *lineLogin, lines ...string) error {
	signature, err := a.challenge(ctx, lines...)
	if err != nil {
		return err
	}
	l.next = ""
	return l.Verify(signature)
}

// challenge sends lines, and returns the 334 that answers the first of them.
func (a *actor) challenge(ctx context.Context, lines ...string) (string, error) {
	if err := a.send(ctx, lines...); err != nil {
		return "", err
	}
	reply, err := a.nextReply(ctx)
	if err == nil && reply.Code != protocol.CodeChallenge {
		err = &refusal{reply}
	}
	return challengePrefix + reply.Text, err
}

const challengePrefix = "334 "

// A refusal is a reply that came instead of a challenge.
type refusal struct{ reply protocol.Reply }

func (r *refusal) Error() string { return "expected a challenge, heard " + oneLine(r.reply) }

func encoded(p []byte) string { return base64.StdEncoding.EncodeToString(p) }
