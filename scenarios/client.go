package scenarios

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

func clientMember() *member {
	return &member{
		summary: "a client of the server",
		client:  true,
		verbs: append([]verb{
			{name: "login", args: "[password=P] [user=U] [authzid=A] [binding=none] [no-wait] [timeout=D] [max-iterations=N] [certificate=U[:FAULT]]", most: 8, logsIn: true, run: doLogin, summary: "log in, and wait for the seat. no-wait: fail if the seat is taken; timeout: the time of connect, handshake and login; certificate: see connect"},
			{name: "ask", args: "VERB [ARGUMENT]", least: 1, most: 2, run: doAsk, summary: "send a request; hears takes the reply"},
			{name: "ask-body", args: "BODY VERB [ARGUMENT]", least: 2, most: 3, run: doAsk, summary: "send a request with a body: the text itself, hex:HEX, or xN for N times the letter x"},
			{name: "hears", args: "CODE [REGEXP] [-> NAME]", least: 1, most: 2, pattern: 2, check: true, run: doHears, summary: "the next reply has this code, and its text, or the body of a 251, matches; the output is its text"},
			{name: "hears-body", args: "BODY", least: 1, most: 1, check: true, run: doHearsBody, summary: "the next reply is a 251 with exactly this body, written as for ask-body"},
			{name: "notices", args: "REGEXP", least: 1, most: 1, pattern: 1, check: true, run: doNotices, summary: "a notice (1yz) comes that matches"},
			{name: "quit", run: doQuit, summary: "give the seat back, and wait for the 221"},
			{name: "gives-up", run: doGivesUp, summary: "cancel the logins and requests that run in the background"},
			{name: "stalls", run: doStalls, summary: "stop to read, so that the client does not even learn of the end, until it closes the connection"},
			{name: "hangs-up", args: "[closed|cut|reset]", most: 1, run: doHangsUp, summary: "end the client's direction of the connection; what the server sends still arrives. closed: close_notify and FIN, after connect; cut: FIN without close_notify; reset: a TCP reset, which ends both directions"},
			{name: "ends", args: "[REGEXP]", most: 1, pattern: 1, check: true, run: doEnds, summary: "the connection ends, for a reason that matches. After connect this fails if a reply came that the script has not taken"},
		}, append(lineVerbs(), streamVerbs()...)...),
	}
}

func (c *call) actor() *actor { return c.stage.actor(c.who) }

func doLogin(ctx context.Context, c *call) (string, error) {
	o, err := parseOptions(c.args, "password", "user", "authzid", "binding", "no-wait", "timeout", "max-iterations", "certificate")
	if err != nil {
		return "", err
	}
	who := client.Credentials{Username: c.stage.user(c.who), Password: c.stage.password(c.who)}
	c.stage.reveal(o)
	o.text("user", &who.Username)
	o.text("password", &who.Password)
	o.text("authzid", &who.Authzid)
	certificate, err := o.certificate()
	if err != nil {
		return "", err
	}
	d := &client.Dialer{NoWait: o.has("no-wait"), TLSConfig: &tls.Config{GetClientCertificate: certificate}}
	if err := errors.Join(o.duration("timeout", &d.LoginTimeout), o.number("max-iterations", &d.MaxIterations)); err != nil {
		return "", err
	}
	if o.has("binding") {
		if err := oneOf("binding", o["binding"], "none"); err != nil {
			return "", err
		}
		d.ChannelBinding = client.BindingNone
	}
	return "", c.actor().logsIn(ctx, d, d.Dial, who, "235 welcome")
}

func doAsk(ctx context.Context, c *call) (_ string, err error) {
	var r protocol.Request
	args := c.args
	if c.verb.name == "ask-body" {
		if r.Body, err = bodyOf(args[0]); err != nil {
			return "", err
		}
		args = args[1:]
	}
	if r.Verb = args[0]; len(args) > 1 {
		r.Argument = args[1]
	}
	return "", c.actor().ask(ctx, r)
}

// ask sends a request. Its reply or refusal stays for "hears".
func (a *actor) ask(ctx context.Context, r protocol.Request) error {
	c, err := a.seated(ctx)
	if err != nil {
		return err
	}
	l := a.current()
	text := strings.TrimSpace(r.Verb + " " + r.Argument)
	if r.Body != nil {
		text = fmt.Sprintf("BODY %d %s", len(r.Body), text)
	}
	ctx, done := a.during(ctx, &a.asks)
	defer done()
	sent := a.speaks(text)
	r.Verb = a.stage.secrets.reveal(r.Verb)
	r.Argument = a.stage.secrets.reveal(r.Argument)
	if r.Body != nil {
		r.Body = []byte(a.stage.secrets.reveal(string(r.Body)))
	}
	reply, err := c.Do(ctx, r)
	sent()
	var refused *protocol.ReplyError
	switch {
	case errors.As(err, &refused) && refused.Code == protocol.CodeClosing:
		return nil // listen hears it, too
	case err != nil && refused == nil:
		return err
	}
	a.hear(l, reply)
	return nil
}

func doHears(ctx context.Context, c *call) (string, error) {
	code, err := strconv.Atoi(c.args[0])
	if err != nil {
		return "", fmt.Errorf("%q is no reply code", c.args[0])
	}
	pattern, err := optionalRegexp(c.args[1:])
	if err != nil {
		return "", err
	}
	reply, err := c.actor().nextReply(ctx)
	if err != nil {
		return "", fmt.Errorf("expected %s: %w", strings.Join(c.args, " "), err)
	}
	text := reply.Text
	if reply.Code == protocol.CodeBody {
		text = string(reply.Body)
	}
	if reply.Code != protocol.Code(code) || !pattern.MatchString(text) {
		return "", fmt.Errorf("expected %s\nheard    %s", strings.Join(c.args, " "), oneLine(reply))
	}
	return reply.Text + "\n", nil
}

// nextReply waits for the next reply, until none can come.
func (a *actor) nextReply(ctx context.Context) (reply protocol.Reply, err error) {
	err = a.await(ctx, func() (bool, error) {
		if len(a.heard) == 0 {
			return false, a.gone()
		}
		reply, a.heard = a.heard[0], a.heard[1:]
		a.greeted = a.greeted || reply.Code == protocol.CodeReady
		return true, nil
	})
	return reply, err
}

func doNotices(ctx context.Context, c *call) (string, error) {
	pattern, err := regexp.Compile(c.args[0])
	if err != nil {
		return "", err
	}
	a := c.actor()
	var passed []string
	var found string
	err = c.stage.until(ctx, c.negated, a.locked(func() (bool, error) {
		for len(a.notices) > 0 {
			found, a.notices = a.notices[0], a.notices[1:]
			if pattern.MatchString(found) {
				return true, nil
			}
			passed = append(passed, found)
		}
		return false, a.gone()
	}))
	if err != nil {
		return "", fmt.Errorf("expected a notice %q, came %q: %w", pattern, passed, err)
	}
	return found + "\n", nil
}

func doQuit(ctx context.Context, c *call) (string, error) {
	a := c.actor()
	seated, err := a.seated(ctx)
	if err != nil {
		return "", err
	}
	sent := a.speaks("QUIT")
	err = seated.Quit(ctx)
	sent()
	if err != nil {
		return "", err
	}
	a.answered("221 bye")
	return "", nil
}

func doGivesUp(_ context.Context, c *call) (string, error) {
	a := c.actor()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, cancel := range a.cancels {
		cancel()
	}
	a.cancels = nil
	return "", nil
}

func doStalls(ctx context.Context, c *call) (string, error) {
	_, l, err := c.actor().connected(ctx)
	if err != nil {
		return "", err
	}
	c.stage.exchange(c.who, "server", "(reads no more)")
	l.stall()
	return "", nil
}

func doHangsUp(ctx context.Context, c *call) (string, error) {
	how := "closed"
	if len(c.args) > 0 {
		how = c.args[0]
	}
	if err := oneOf("hangs-up", how, "closed", "cut", "reset"); err != nil {
		return "", err
	}
	a := c.actor()
	lines, l, err := a.connected(ctx)
	switch {
	case err != nil:
		return "", err
	case how == "closed" && lines == nil:
		return "", errors.New("closed is only possible after connect; after login there is quit")
	}
	defer l.closeAfter(ctx)()
	defer a.speaks("(hangs up: " + how + ")")()
	switch conn, secure := lines.(*tls.Conn); {
	case how == "reset":
		return "", l.reset()
	case how == "closed" && secure:
		err = conn.CloseWrite()
	}
	err = errors.Join(err, l.CloseWrite())
	return "", cmp.Or(ctx.Err(), err)
}

func doEnds(ctx context.Context, c *call) (string, error) {
	pattern, err := optionalRegexp(c.args)
	if err != nil {
		return "", err
	}
	a := c.actor()
	return "", a.await(ctx, func() (bool, error) {
		if a.ended == nil {
			return false, nil
		}
		if !pattern.MatchString(a.ended.Error()) {
			return false, fmt.Errorf("expected the end %q, came %q", pattern, a.ended)
		}
		if a.lines != nil && len(a.heard) > 0 {
			return false, fmt.Errorf("before the end came %q", oneLine(a.heard[0]))
		}
		if a.lines != nil && len(a.data) > 0 {
			return false, fmt.Errorf("before the end came %.80q", a.data)
		}
		if a.rogue != nil && len(a.rogue.unread) > 0 {
			return false, fmt.Errorf("before the end %s sent %q", a.rogue.client, a.rogue.unread)
		}
		return true, nil
	})
}

func optionalRegexp(args []string) (*regexp.Regexp, error) {
	return regexp.Compile(strings.Join(args, ""))
}

func doHearsBody(ctx context.Context, c *call) (string, error) {
	want, err := bodyOf(c.args[0])
	if err != nil {
		return "", err
	}
	reply, err := c.actor().nextReply(ctx)
	switch {
	case err != nil:
		return "", fmt.Errorf("expected a body of %d bytes: %w", len(want), err)
	case reply.Code != protocol.CodeBody:
		return "", fmt.Errorf("expected a body of %d bytes\nheard    %s", len(want), oneLine(reply))
	case !bytes.Equal(reply.Body, want):
		return "", fmt.Errorf("expected a body of %d bytes, heard one of %d; they differ from byte %d on\nexpected %.80q\nheard    %.80q",
			len(want), len(reply.Body), differ(want, reply.Body), want, reply.Body)
	}
	return "", nil
}

// differ returns the index of the first byte in which two texts differ.
func differ(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
