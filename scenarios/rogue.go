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
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// A rogue is Mallory as the server of one connection. What she does by herself is what an honest server
// does that knows the password, so that nothing is wrong but what the script has her do. Her actor's
// lock guards the fields that change.
type rogue struct {
	listener net.Listener
	client   string // who comes to her
	config   *tls.Config
	verifier scram.Verifier
	// iterations are those that she demands, whatever the verifier has.
	iterations int
	drip       bool

	heard []string // lines of the client that the script hasn't read yet
	auth  string   // the client's AUTH, once it was read
	asked bool     // the empty line was read, which asks for the seat
	done  int      // how many of the steps of an honest login she has done
	login *scram.Server
}

// rogueVerbs are those with which Mallory answers a client line by line.
func rogueVerbs() []verb {
	const behind = ", with these lines behind it in the same record; after awaits"
	return []verb{
		{name: "awaits", args: "CLIENT [certificate=FAULT] [tls=none|1.1|1.2|1.3] [alpn=ID|none] [iterations=N] [drip]", least: 1, most: 6, run: doAwaits, summary: "take the client's next connection as its server, with a certificate that it trusts unless it is expired, not-yet-valid, wrong-name, wrong-usage or unknown-ca. drip: she sends each byte in a record of its own, a millisecond apart. Nobody takes the connections after that. What the verbs below send goes to the client then, as it does with sends, sends-part, sends-octets, drips, floods, hangs-up and vanish"},
		{name: "reads", args: "REGEXP", least: 1, most: 1, pattern: 1, check: true, run: doReads, summary: "the client's next line matches; after awaits"},
		{name: "greets", args: "[LINE...]", most: many, run: doStep, summary: "say the greeting, as an honest server does" + behind},
		{name: "challenges", args: "[LINE...]", most: many, run: doStep, summary: "greet, and answer AUTH with the challenge that an honest server makes" + behind},
		{name: "signs", args: "[LINE...]", most: many, run: doStep, summary: "challenge, check the proof, and answer it with the right signature" + behind},
		{name: "seats", args: "[LINE...]", most: many, run: doStep, summary: "sign, and give the client the seat (235)" + behind},
	}
}

func doAwaits(_ context.Context, c *call) (string, error) {
	client := c.args[0]
	o, err := parseOptions(c.args[1:], "certificate", "tls", "alpn", "iterations", "drip")
	if err != nil {
		return "", err
	}
	r := &rogue{client: client, drip: o.has("drip"), iterations: scram.MinIterations}
	pair, roots, err := testserver.FaultyCertificate(o["certificate"])
	if err != nil {
		return "", err
	}
	if r.config, err = rogueTLS(pair, o); err != nil {
		return "", err
	}
	if err := o.number("iterations", &r.iterations); err != nil {
		return "", err
	}
	if r.verifier, err = scram.NewVerifier(c.stage.password(client), []byte("salt of Mallory's"), scram.MinIterations); err != nil {
		return "", err
	}
	if r.listener, err = c.stage.decoy(client, roots); err != nil {
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

// rogueTLS returns the configuration that the options ask for, nil for no TLS.
func rogueTLS(pair tls.Certificate, o options) (*tls.Config, error) {
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol.ALPN},
		MinVersion: tls.VersionTLS10, DynamicRecordSizingDisabled: true,
	}
	if o.has("alpn") {
		config.NextProtos = []string{o["alpn"]}
	}
	if o["alpn"] == "none" {
		config.NextProtos = nil
	}
	if o["tls"] == "none" {
		return nil, nil
	}
	var err error
	config.MaxVersion, err = o.version("tls")
	return config, err
}

// serve takes one connection, and reads what the client says.
func (a *actor) serve(ctx context.Context, r *rogue) {
	raw, err := r.listener.Accept()
	_ = r.listener.Close()
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
	l := newLink(raw, raw.(*net.TCPConn))
	a.mu.Lock()
	stale := a.rogue != r
	if !stale {
		a.link = l
	}
	a.mu.Unlock()
	switch {
	case stale:
		_ = raw.Close()
	case r.config == nil:
		a.carry(l, nil)
		a.stage.happened()
		a.drain(l, nil)
	default:
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
		a.readLines(l, conn)
	}
}

// dripping sends each byte in a record of its own, and none in the same millisecond as another.
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

// readLines takes the client's lines, until there are no more.
func (a *actor) readLines(l *link, conn *tls.Conn) {
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
		text := string(line)
		a.takes(l, text, func() { a.rogue.heard = append(a.rogue.heard, text) })
	}
}

// connected returns the connection with a client who comes to Mallory, once it is there.
func (a *actor) connected(ctx context.Context) (lines net.Conn, l *link, err error) {
	err = a.stage.await(ctx, func() (bool, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if lines, l = a.lines, a.link; lines != nil {
			return true, nil
		}
		if a.rogue != nil && a.ended == nil {
			return false, nil
		}
		return false, fmt.Errorf("%s %w", a.name, errNotConnected)
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

// nextLine awaits a line of the client's.
func (a *actor) nextLine(ctx context.Context) (line string, err error) {
	err = a.stage.await(ctx, func() (bool, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		r := a.rogue
		switch {
		case r == nil:
			return false, errNoRogue
		case len(r.heard) > 0:
			line, r.heard = r.heard[0], r.heard[1:]
			if strings.HasPrefix(line, protocol.VerbAuth+" ") {
				r.auth = line
			}
			r.asked = r.asked || line == ""
			return true, nil
		case a.ended != nil:
			return false, fmt.Errorf("%s's connection is over: %w", r.client, a.ended)
		}
		return false, nil
	})
	return line, err
}

var errNoRogue = errors.New("mallory awaits nobody")

// rogueSteps are those of an honest login, in their order, and what the server says in each.
var rogueSteps = []struct {
	verb string
	says func(r *rogue, ctx context.Context, a *actor) (line string, err error)
}{
	{"greets", (*rogue).greeting},
	{"challenges", (*rogue).challenge},
	{"signs", (*rogue).signature},
	{"seats", (*rogue).welcome},
}

// doStep does all that an honest server does until it has done what the verb says.
func doStep(ctx context.Context, c *call) (string, error) {
	a := c.actor()
	a.mu.Lock()
	r := a.rogue
	a.mu.Unlock()
	if r == nil {
		return "", errNoRogue
	}
	for r.done < len(rogueSteps) {
		step := rogueSteps[r.done]
		line, err := step.says(r, ctx, a)
		if err != nil {
			return "", fmt.Errorf("before mallory %s: %w", step.verb, err)
		}
		lines := []string{line}
		if step.verb == c.verb.name {
			lines = append(lines, c.args...)
		}
		r.done++
		if err := a.send(ctx, lines...); err != nil || step.verb == c.verb.name {
			return "", err
		}
	}
	return "", fmt.Errorf("mallory %s only once", c.verb.name)
}

func (r *rogue) greeting(context.Context, *actor) (string, error) {
	return "220 mallory sallyport/1 ready", nil
}

func (r *rogue) challenge(ctx context.Context, a *actor) (string, error) {
	if r.auth == "" {
		if line, err := a.nextLine(ctx); err != nil || r.auth == "" {
			return "", cmp.Or(err, fmt.Errorf("the client said %q and not AUTH", line))
		}
	}
	words := strings.Split(r.auth, " ")
	first, err := decoded(words[len(words)-1])
	if err != nil {
		return "", err
	}
	binding, err := rogueBinding(a.tls, r.config.Certificates[0])
	if err != nil {
		return "", err
	}
	r.login = scram.NewServer(scram.ServerConfig{
		Mechanism: words[1], PlusOffered: true, Bindings: []scram.ChannelBinding{binding},
		Lookup: func(string) (scram.Verifier, bool) { return r.verifier, true },
	})
	challenge, err := r.login.First(first)
	challenge, _, _ = bytes.Cut(challenge, []byte(",i="))
	return "334 " + encoded(fmt.Appendf(challenge, ",i=%d", r.iterations)), err
}

func rogueBinding(conn *tls.Conn, pair tls.Certificate) (scram.ChannelBinding, error) {
	state := conn.ConnectionState()
	if state.Version < tls.VersionTLS13 {
		return scram.TLSServerEndPoint(pair.Leaf)
	}
	return scram.TLSExporter(state.ExportKeyingMaterial)
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
			return "", cmp.Or(err, fmt.Errorf("the client said %q behind its proof", line))
		}
	}
	return "235 welcome", nil
}

func decoded(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }
