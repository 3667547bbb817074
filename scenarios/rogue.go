package scenarios

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/mallory"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// A rogue is Mallory as the server of one connection, the connection of her actor. She knows the client's
// password, so the only faults that a client can find are those of the script.
type rogue struct {
	// client is the name of the client.
	client   string
	listener net.Listener
	// config is nil for a connection without TLS.
	config   *tls.Config
	verifier scram.Verifier
	// iterations is the number in the challenge. The proof fits only if the verifier has the same number.
	iterations int
	// drip sends each byte in a record of its own.
	drip bool

	// The lock of the actor guards the fields below.

	// unread has the client's lines that the script has not read.
	unread []string
	// auth is the client's AUTH command, once the script has read it.
	auth string
	// asked means that the script has read the client's empty line, which asks for the seat.
	asked bool
	// done counts the rogueSteps that are done.
	done  int
	login *scram.Server
}

// rogueVerbs are the verbs of Mallory as a server, line by line.
func rogueVerbs() []verb {
	const behind = ", and these lines in the same record; after awaits"
	return []verb{
		{name: "awaits", args: "CLIENT [certificate=FAULT] [tls=none|1.1|1.2|1.3] [alpn=ID|none] [iterations=N] [drip]", least: 1, most: 6, run: doAwaits, summary: "take the place of the server for the client's next connection; later ones are refused. The client trusts the certificate, unless FAULT is expired, not-yet-valid, wrong-name, wrong-usage or unknown-ca. iterations: the number in the challenge; drip: send each byte in a record of its own, a millisecond apart. Until she connects as a client again, sends, sends-part, drips, floods, floods-part and hangs-up go to the client"},
		{name: "reads", args: "REGEXP", least: 1, most: 1, pattern: 1, check: true, run: doReads, summary: "the client's next line matches; after awaits"},
		{name: "greets", args: "[LINE...]", most: many, run: doStep, summary: "send the greeting, as an honest server does" + behind},
		{name: "challenges", args: "[LINE...]", most: many, run: doStep, summary: "greet, and answer AUTH with the challenge of an honest server" + behind},
		{name: "signs", args: "[LINE...]", most: many, run: doStep, summary: "challenge, check the proof, and answer it with the right signature" + behind},
		{name: "seats", args: "[LINE...]", most: many, run: doStep, summary: "sign, and give the client the seat (235)" + behind},
	}
}

func doAwaits(_ context.Context, c *call) (string, error) {
	name := c.args[0]
	o, err := parseOptions(c.args[1:], "certificate", "tls", "alpn", "iterations", "drip")
	if err != nil {
		return "", err
	}
	pair, roots, err := testserver.FaultyCertificate(o["certificate"])
	if err != nil {
		return "", err
	}
	r := &rogue{client: name, iterations: scram.MinIterations, drip: o.has("drip")}
	if r.config, err = rogueTLS(pair, o); err != nil {
		return "", err
	}
	if err := o.number("iterations", &r.iterations); err != nil {
		return "", err
	}
	r.verifier, err = scram.NewVerifier(c.stage.password(name), []byte("salt of Mallory's"), scram.MinIterations)
	if err != nil {
		return "", err
	}
	if r.listener, err = c.stage.decoy(name, roots); err != nil {
		return "", err
	}
	a := c.actor()
	a.begin()
	a.mu.Lock()
	a.rogue = r
	a.mu.Unlock()
	go a.serve(c.stage.ctx, r)
	return "", nil
}

// rogueTLS returns the configuration that the options choose. Nil means no TLS.
func rogueTLS(pair tls.Certificate, o options) (config *tls.Config, err error) {
	if o["tls"] == "none" {
		return nil, nil
	}
	config = &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol.ALPN},
		MinVersion: tls.VersionTLS10, DynamicRecordSizingDisabled: true,
	}
	if o["alpn"] == "none" {
		config.NextProtos = nil
	} else if o.has("alpn") {
		config.NextProtos = []string{o["alpn"]}
	}
	config.MaxVersion, err = o.version("tls", "none", "1.1", "1.2", "1.3")
	return config, err
}

// serve accepts one connection and reads it to its end.
func (a *actor) serve(ctx context.Context, r *rogue) {
	raw, err := r.listener.Accept()
	_ = r.listener.Close()
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
	l := newLink(raw, raw.(*net.TCPConn))
	a.mu.Lock()
	current := a.rogue == r
	if current {
		a.link = l
	}
	a.mu.Unlock()
	switch {
	case !current:
		_ = raw.Close()
	case r.config == nil:
		a.carry(l, nil)
		a.stage.happened()
		a.drain(l, nil)
	default:
		a.serveTLS(ctx, r, l)
	}
}

func (a *actor) serveTLS(ctx context.Context, r *rogue, l *link) {
	conn := tls.Server(testserver.Checked(l), r.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		a.over(l, err)
		return
	}
	if r.drip {
		a.carry(dripping{conn}, conn)
	} else {
		a.carry(conn, conn)
	}
	a.stage.happened()
	in := protocol.NewReader(conn)
	for {
		line, err := in.ReadLine()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errCut
		}
		if err != nil {
			a.over(l, err)
			return
		}
		text := a.stage.secrets.hide(string(line))
		a.takes(l, text, func() { r.unread = append(r.unread, text) })
	}
}

// dripping sends each byte in a record of its own, a millisecond apart.
type dripping struct{ net.Conn }

func (d dripping) Write(p []byte) (n int, err error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n < len(p) && err == nil {
		if _, err = d.Conn.Write(p[n : n+1]); err == nil {
			n++
		}
		<-tick.C
	}
	return n, err
}

// connected returns the connection, and what carries lines on it: nil after login. Mallory waits for the
// client that she awaits.
func (a *actor) connected(ctx context.Context) (lines net.Conn, l *link, err error) {
	err = a.await(ctx, func() (bool, error) {
		lines, l = a.lines, a.link
		switch {
		case lines != nil, l != nil && a.rogue == nil:
			return true, nil
		case a.rogue != nil && a.ended == nil:
			return false, nil
		}
		return false, a.unconnected()
	})
	return lines, l, err
}

func doReads(ctx context.Context, c *call) (string, error) {
	pattern, err := regexp.Compile(c.args[0])
	if err != nil {
		return "", err
	}
	line, err := c.actor().nextLine(ctx)
	if err != nil {
		return "", fmt.Errorf("expected %q: %w", c.args[0], err)
	}
	if !pattern.MatchString(line) {
		return "", fmt.Errorf("expected %q\nread     %q", c.args[0], line)
	}
	return line + "\n", nil
}

// nextLine awaits a line of the client.
func (a *actor) nextLine(ctx context.Context) (line string, err error) {
	err = a.await(ctx, func() (bool, error) {
		r := a.rogue
		switch {
		case r == nil:
			return false, errNoRogue
		case len(r.unread) == 0:
			return false, a.gone()
		}
		line, r.unread = r.unread[0], r.unread[1:]
		if strings.HasPrefix(line, protocol.VerbAuth+" ") {
			r.auth = line
		}
		r.asked = r.asked || line == ""
		return true, nil
	})
	return line, err
}

var errNoRogue = errors.New("mallory awaits no client")

// rogueSteps are the verbs that send the lines of an honest server in a login, in order.
var rogueSteps = []string{"greets", "challenges", "signs", "seats"}

// doStep does the steps up to that of the verb, except those that are done.
func doStep(ctx context.Context, c *call) (string, error) {
	a := c.actor()
	a.mu.Lock()
	r := a.rogue
	a.mu.Unlock()
	if r == nil {
		return "", errNoRogue
	}
	last := slices.Index(rogueSteps, c.verb.name)
	if r.done > last {
		return "", fmt.Errorf("mallory %s only once in a connection", c.verb.name)
	}
	for r.done <= last {
		line, err := r.line(ctx, a)
		if err != nil {
			return "", fmt.Errorf("before mallory %s: %w", rogueSteps[r.done], err)
		}
		r.done++ // before the client can answer
		lines := []string{line}
		if r.done > last {
			lines = append(lines, c.args...)
		}
		if err := a.send(ctx, lines...); err != nil {
			return "", err
		}
	}
	return "", nil
}

// line returns the line of the next step.
func (r *rogue) line(ctx context.Context, a *actor) (string, error) {
	switch rogueSteps[r.done] {
	case "greets":
		return "220 mallory sallyport/1 ready", nil
	case "challenges":
		return r.challenge(ctx, a)
	case "signs":
		return r.signature(ctx, a)
	}
	return r.welcome(ctx, a)
}

func (r *rogue) challenge(ctx context.Context, a *actor) (string, error) {
	if r.auth == "" {
		if line, err := a.nextLine(ctx); err != nil || r.auth == "" {
			return "", cmp.Or(err, fmt.Errorf("the client sent %q and not AUTH", line))
		}
	}
	words := strings.Split(r.auth, " ")
	first, err := decoded(words[len(words)-1])
	if err != nil {
		return "", err
	}
	config := scram.ServerConfig{
		Mechanism: words[1], PlusOffered: true,
		Lookup: func(string) (scram.Verifier, bool) { return r.verifier, true },
	}
	for kind, data := range mallory.Bindings(a.tls, r.config.Certificates[0].Leaf) {
		config.Bindings = append(config.Bindings, scram.ChannelBinding{Type: kind, Data: data})
	}
	r.login = scram.NewServer(config)
	challenge, err := r.login.First(first)
	challenge, _, _ = bytes.Cut(challenge, []byte(",i="))
	return "334 " + encoded(fmt.Appendf(challenge, ",i=%d", r.iterations)), err
}

func (r *rogue) signature(ctx context.Context, a *actor) (string, error) {
	line, err := a.nextLine(ctx)
	if err != nil {
		return "", err
	}
	proof, err := decoded(line)
	if err != nil {
		return "", err
	}
	signature, err := r.login.Final(proof)
	return "334 " + encoded(signature), err
}

func (r *rogue) welcome(ctx context.Context, a *actor) (string, error) {
	if !r.asked {
		if line, err := a.nextLine(ctx); err != nil || line != "" {
			return "", cmp.Or(err, fmt.Errorf("the client sent %q behind its proof", line))
		}
	}
	return "235 welcome", nil
}

func decoded(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }
