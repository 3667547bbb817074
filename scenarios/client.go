package scenarios

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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
		verbs: []verb{
			{name: "login", args: "[password=P] [user=U] [authzid=A] [binding=none] [no-wait]", most: 5, run: doLogin, summary: "log in, and wait for the seat"},
			{name: "ask", args: "VERB [ARGUMENT]", least: 1, most: 2, run: doAsk, summary: "send a request; the reply is heard with hears"},
			{name: "ask-body", args: "BODY VERB [ARGUMENT]", least: 2, most: 3, run: doAskBody, summary: "send a request with a body: the text itself, hex:HEX, or xN for N times the letter x"},
			{name: "hears", args: "CODE [REGEXP] [-> NAME]", least: 1, most: 2, pattern: 2, check: true, run: doHears, summary: "the next reply has this code, and its text matches, or the body of a 251; its text is the output"},
			{name: "hears-body", args: "BODY", least: 1, most: 1, check: true, run: doHearsBody, summary: "the next reply is a 251 with exactly this body, written as for ask-body"},
			{name: "notices", args: "REGEXP", least: 1, most: 1, pattern: 1, check: true, run: doNotices, summary: "a notice (1yz) comes that matches"},
			{name: "quit", run: doQuit, summary: "give the seat back, and hear the 221"},
			{name: "stalls", run: doStalls, summary: "read nothing any more, not even the end, until the connection is closed from here"},
			{name: "vanish", run: doVanish, summary: "be gone without a word: a TCP reset"},
			{name: "ends", args: "[REGEXP]", most: 1, pattern: 1, check: true, run: doEnds, summary: "the connection ends, for a reason that matches"},
			{name: "connect", args: "[generic] [tls=1.2|1.3] [alpn=ID]", most: 3, run: doConnect, summary: "make a TLS connection of nothing but lines"},
			{name: "sends", args: "LINE...", least: 1, most: many, run: doSends, summary: "send lines as they are, at once, each with CRLF; after connect"},
			{name: "sends-octets", args: "HEX", least: 1, most: 1, run: doSendsOctets, summary: "send octets as they are; after connect"},
			{name: "authenticates", args: "[LINE...]", most: many, run: doAuthenticates, summary: "log in line by line, up to the line that asks for the seat, and send these lines with it; after connect, on TLS 1.3"},
			{name: "hangs-up", run: doHangUp, summary: "close_notify and FIN, and read on"},
		},
	}
}

func (c *call) actor() *actor { return c.stage.actor(c.who) }

func doLogin(ctx context.Context, c *call) (string, error) {
	o, err := parseOptions(c.args, "password", "user", "authzid", "binding", "no-wait")
	if err != nil {
		return "", err
	}
	who := client.Credentials{Username: c.stage.user(c.who), Password: c.stage.password(c.who), Authzid: o["authzid"]}
	if o.has("user") {
		who.Username = o["user"]
	}
	if o.has("password") {
		who.Password = o["password"]
	}
	d := &client.Dialer{NoWait: o.has("no-wait")}
	switch o["binding"] {
	case "":
	case "none":
		d.ChannelBinding = client.BindingNone
	default:
		return "", fmt.Errorf("binding can't be %q but only none", o["binding"])
	}
	return "", c.actor().login(ctx, d, who)
}

func doAsk(ctx context.Context, c *call) (string, error) {
	r := protocol.Request{Verb: c.args[0]}
	if len(c.args) > 1 {
		r.Argument = c.args[1]
	}
	return "", c.actor().ask(ctx, r)
}

func doAskBody(ctx context.Context, c *call) (string, error) {
	body, err := bodyOf(c.args[0])
	if err != nil {
		return "", err
	}
	r := protocol.Request{Verb: c.args[1], Body: body}
	if len(c.args) > 2 {
		r.Argument = c.args[2]
	}
	return "", c.actor().ask(ctx, r)
}

// ask sends a request. What comes back is for hears to judge, a refusal too.
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
	defer a.during(&a.asks)()
	said := a.speaks(text)
	reply, err := c.Do(ctx, r)
	said()
	var refused *protocol.ReplyError
	switch {
	case errors.As(err, &refused) && refused.Code == protocol.CodeClosing:
		return nil // listen has heard it, too
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
	said := reply.Text
	if reply.Code == protocol.CodeBody {
		said = string(reply.Body)
	}
	if reply.Code != protocol.Code(code) || !pattern.MatchString(said) {
		return "", fmt.Errorf("expected %s\nheard    %s", strings.Join(c.args, " "), told(reply))
	}
	return reply.Text + "\n", nil
}

// nextReply awaits a reply, and gives up as soon as none can come.
func (a *actor) nextReply(ctx context.Context) (reply protocol.Reply, err error) {
	err = a.stage.await(ctx, func() (bool, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.heard) > 0 {
			reply, a.heard = a.heard[0], a.heard[1:]
			return true, nil
		}
		if a.ended != nil {
			return false, fmt.Errorf("%s's connection is over: %w", a.name, a.ended)
		}
		return false, nil
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
	err = c.stage.until(ctx, c.negated, func() (bool, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		for len(a.notices) > 0 {
			found, a.notices = a.notices[0], a.notices[1:]
			if pattern.MatchString(found) {
				return true, nil
			}
			passed = append(passed, found)
		}
		if a.ended != nil {
			return false, fmt.Errorf("%s's connection is over: %w", a.name, a.ended)
		}
		return false, nil
	})
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
	said := a.speaks("QUIT")
	err = seated.Quit(ctx)
	said()
	if err != nil {
		return "", err
	}
	a.answered("221 bye")
	return "", nil
}

func doStalls(_ context.Context, c *call) (string, error) {
	return "", c.withLink(func(l *link) error {
		c.stage.said(c.who, "server", "(reads no more)")
		l.stall()
		return nil
	})
}

func doVanish(_ context.Context, c *call) (string, error) {
	return "", c.withLink(func(l *link) error {
		c.stage.said(c.who, "server", "(TCP reset)")
		return l.reset()
	})
}

func doHangUp(ctx context.Context, c *call) (string, error) {
	a := c.actor()
	if err := a.write(ctx, "(close_notify)", (*tls.Conn).CloseWrite); err != nil {
		return "", err
	}
	return "", c.withLink((*link).CloseWrite)
}

// withLink does something to the actor's connection.
func (c *call) withLink(deed func(*link) error) error {
	a := c.actor()
	a.mu.Lock()
	l := a.link
	a.mu.Unlock()
	if l == nil {
		return fmt.Errorf("%s %w", a.name, errNotConnected)
	}
	return deed(l)
}

func doEnds(ctx context.Context, c *call) (string, error) {
	pattern, err := optionalRegexp(c.args)
	if err != nil {
		return "", err
	}
	a := c.actor()
	return "", c.stage.await(ctx, func() (bool, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.ended == nil {
			return false, nil
		}
		if !pattern.MatchString(a.ended.Error()) {
			return false, fmt.Errorf("expected the end %q, came %q", pattern, a.ended)
		}
		return true, nil
	})
}

func doConnect(ctx context.Context, c *call) (string, error) {
	o, err := parseOptions(c.args, "generic", "tls", "alpn")
	if err != nil {
		return "", err
	}
	versions := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
	version, ok := versions[o["tls"]]
	if o.has("tls") && !ok {
		return "", fmt.Errorf("tls can't be %q but 1.2 or 1.3", o["tls"])
	}
	return "", c.actor().connect(ctx, func(config *tls.Config) {
		if o.has("generic") {
			config.NextProtos = nil
		}
		if o.has("alpn") {
			config.NextProtos = []string{o["alpn"]}
		}
		if version != 0 {
			config.MinVersion, config.MaxVersion = version, version
		}
	})
}

func doSends(ctx context.Context, c *call) (string, error) {
	return "", c.actor().send(ctx, strings.Join(c.args, " / "), strings.Join(c.args, "\r\n")+"\r\n")
}

func doSendsOctets(ctx context.Context, c *call) (string, error) {
	octets, err := hex.DecodeString(c.args[0])
	if err != nil {
		return "", fmt.Errorf("%.40q is not hex: %w", c.args[0], err)
	}
	return "", c.actor().send(ctx, c.args[0], string(octets))
}

func (a *actor) send(ctx context.Context, text, octets string) error {
	return a.write(ctx, text, func(wire *tls.Conn) error {
		_, err := io.WriteString(wire, octets)
		return err
	})
}

// write does something that may have to wait for the network, until the context
// ends: then so does the connection.
func (a *actor) write(ctx context.Context, text string, deed func(*tls.Conn) error) error {
	a.mu.Lock()
	wire, l := a.wire, a.link
	a.mu.Unlock()
	if wire == nil {
		return fmt.Errorf("%s %w", a.name, errNotConnected)
	}
	defer l.closeAfter(ctx)()
	said := a.speaks(text)
	err := deed(wire)
	said()
	return cmp.Or(ctx.Err(), err)
}

func optionalRegexp(args []string) (*regexp.Regexp, error) {
	return regexp.Compile(strings.Join(args, ""))
}

func readBody(in io.Reader, n int64) ([]byte, error) {
	if n > protocol.DefaultMaxBody {
		return nil, fmt.Errorf("a body of %d octets is more than %d", n, protocol.DefaultMaxBody)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(in, body)
	return body, err
}
