package scenarios

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/mallory"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

func malloryMember() *member {
	verbs := []verb{
		{name: "unaltered", args: "[password=P]", most: 1, needs: "alice", run: doAlters, summary: "log in as alice without an alteration. After this verb and the next ones, hears has the last reply"},
		{name: "flag", args: "n|y [password=P]", least: 1, most: 2, needs: "alice", run: doAlters, summary: "log in as alice without channel binding. n: the client does not support it; y: the client believes that the server does not"},
	}
	for _, part := range mallory.Parts(mallory.Client) {
		verbs = append(verbs, verb{
			name: part, args: "CHANGE [password=P]", least: 1, most: 2, needs: "alice", run: doAlters,
			summary: "log in as alice with this part altered: " + part,
		})
	}
	verbs = append(verbs,
		verb{name: "serves", args: "CLIENT [PART CHANGE] [password=P]", least: 1, most: 4, run: doServes, summary: "from now on take the place of the client's server, with the client's password, or P; the parts are: " + strings.Join(mallory.Parts(mallory.Server), " ")},
		verb{name: "stands-between", args: "CLIENT [PART CHANGE] [password=P]", least: 1, most: 4, run: doStandsBetween, summary: "from now on stand between the client and the server, with a certificate that the client trusts, and pass everything on, with one part altered; the parts are: " + strings.Join(mallory.Parts(mallory.Middle), " ")},
		verb{name: "steps-aside", args: "CLIENT", least: 1, most: 1, run: doStepsAside, summary: "let the client connect to the server again"},
	)
	verbs = append(verbs, rogueVerbs()...)
	lines := []string{"connect", "sends", "sends-part", "drips", "floods", "floods-part", "hears", "hears-tls", "notices", "ends", "hangs-up"}
	for _, v := range clientMember().verbs {
		if slices.Contains(lines, v.name) {
			verbs = append(verbs, v)
		}
	}
	return &member{summary: "an attacker, as a client, as a server, or between the two; CHANGE is one of: " + mallory.Changes, verbs: verbs}
}

// A decoy is a server of Mallory's. A client connects to it instead of the real server.
type decoy struct {
	addr string
	// roots are what the client trusts.
	roots *x509.CertPool
}

// decoyOf returns the decoy of a client, or nil.
func (st *stage) decoyOf(name string) *decoy {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.decoys[name]
}

// decoy returns a listener that a client connects to from now on. The end of the run closes it.
func (st *stage) decoy(name string, roots *x509.CertPool) (net.Listener, error) {
	if err := checkClient(name); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(st.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	context.AfterFunc(st.ctx, func() { _ = l.Close() })
	st.mu.Lock()
	defer st.mu.Unlock()
	st.decoys[name] = &decoy{addr: l.Addr().String(), roots: roots}
	return l, nil
}

func doStepsAside(_ context.Context, c *call) (string, error) {
	c.stage.mu.Lock()
	defer c.stage.mu.Unlock()
	if c.stage.decoys[c.args[0]] == nil {
		return "", fmt.Errorf("%q doesn't connect to mallory", c.args[0])
	}
	delete(c.stage.decoys, c.args[0])
	return "", nil
}

func doServes(_ context.Context, c *call) (string, error) {
	login, err := c.alteredLogin(mallory.Server)
	if err != nil {
		return "", err
	}
	return "", c.stage.receive(c.args[0], func(ctx context.Context, conn *testserver.Conn) error {
		one := *login
		return mallory.Serve(ctx, conn, &one)
	})
}

func doStandsBetween(_ context.Context, c *call) (string, error) {
	login, err := c.alteredLogin(mallory.Middle)
	if err != nil {
		return "", err
	}
	return "", c.stage.receive(c.args[0], func(ctx context.Context, conn *testserver.Conn) error {
		server, err := c.stage.reach(ctx)
		if err != nil {
			return err
		}
		defer server.Close()
		defer context.AfterFunc(ctx, func() { _ = server.NetConn().Close() })()
		if len(c.args) < 3 { // no change
			return mallory.Relay(ctx, conn, server, nil)
		}
		one := *login
		return mallory.Relay(ctx, conn, server, &one)
	})
}

// alteredLogin returns a login with the change in the arguments. Each connection needs a copy.
func (c *call) alteredLogin(role mallory.Role) (*fixtures.Vector, error) {
	args, password := c.cutPassword(c.stage.password(c.args[0]))
	var change mallory.Change
	switch len(args) {
	case 1:
	case 3:
		change = mallory.Change{Part: args[1], How: args[2]}
	default:
		return nil, fmt.Errorf("usage: mallory %s %s", c.verb.name, c.verb.args)
	}
	who, err := c.stage.loginOf(c.args[0], password)
	if err != nil {
		return nil, err
	}
	return mallory.Login(role, who, change)
}

// receive lets a client connect to Mallory from now on. Mallory serves each of its connections.
func (st *stage) receive(name string, serve func(context.Context, *testserver.Conn) error) error {
	pair, roots, err := testserver.FaultyCertificate("")
	if err != nil {
		return err
	}
	l, err := st.decoy(name, roots)
	if err != nil {
		return err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol.ALPN}, MinVersion: tls.VersionTLS12,
	}
	one := func(raw net.Conn) {
		defer raw.Close()
		defer context.AfterFunc(st.ctx, func() { _ = raw.Close() })()
		conn, err := testserver.ServerConn(st.ctx, raw, config)
		if err == nil {
			err = serve(st.ctx, conn)
		}
		if err != nil {
			st.exchange("mallory", name, "(ends: "+err.Error()+")")
		}
	}
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go one(raw)
		}
	}()
	return nil
}

// reach connects Mallory to the server, past Eve.
func (st *stage) reach(ctx context.Context) (*testserver.Conn, error) {
	addr, config, err := st.actor("mallory").where()
	if err != nil {
		return nil, err
	}
	config.NextProtos = []string{protocol.ALPN}
	raw, err := st.eve.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return testserver.ClientConn(ctx, raw, config)
}

// cutPassword takes the option password=P off the end of the arguments.
func (c *call) cutPassword(otherwise string) (args []string, password string) {
	args = c.args
	if n := len(args); n > 0 {
		if guess, ok := strings.CutPrefix(args[n-1], "password="); ok {
			return args[:n-1], c.stage.secrets.reveal(guess)
		}
	}
	return args, otherwise
}

// loginOf is the login of a client with a password. Its error does not contain the password.
func (st *stage) loginOf(name, password string) (l fixtures.Login, err error) {
	l = fixtures.Login{
		User: st.user(name), Name: st.user(name), Mechanism: scram.SHA256Plus, Binding: scram.TypeExporter,
		Flag: "n", Salt: "salt of Mallory's", Iterations: scram.MinIterations,
	}
	switch {
	case st.choice.get("mechanism") == "plain":
		l.Mechanism = scram.SHA256
	case st.choice.get("tls") == "1.2":
		l.Binding = scram.TypeServerEndPoint
	}
	l.Stored, err = scram.Prepare(password)
	return l, err
}

// doAlters logs in with a change to the part that the verb is named after. "flag" sets a gs2 flag other than p,
// which means channel binding.
func doAlters(ctx context.Context, c *call) (string, error) {
	args, password := c.cutPassword(c.stage.password("alice"))
	if (c.verb.name == "unaltered") != (len(args) == 0) || len(args) > 1 {
		return "", fmt.Errorf("usage: mallory %s %s", c.verb.name, c.verb.args)
	}
	who, err := c.stage.loginOf("alice", password)
	var change mallory.Change
	switch c.verb.name {
	case "unaltered":
	case "flag":
		who.Mechanism, who.Flag = scram.SHA256, args[0]
		err = cmp.Or(err, oneOf("flag", args[0], "n", "y"))
	default:
		change = mallory.Change{Part: c.verb.name, How: args[0]}
	}
	if err != nil {
		return "", err
	}
	return "", c.actor().impersonate(ctx, who, change)
}

// impersonate logs in line by line. The server's last reply stays for "hears". An error means that Mallory
// could not send all her lines.
func (a *actor) impersonate(ctx context.Context, who fixtures.Login, change mallory.Change) error {
	login, err := mallory.Login(mallory.Client, who, change)
	if err != nil {
		return err
	}
	if err = a.connect(ctx, connection{}); err != nil {
		return err
	}
	if err := a.greeting(ctx); err != nil {
		return err
	}
	a.mu.Lock()
	conn := a.tls
	a.mu.Unlock()
	end := &lineServer{actor: a, mechanism: who.Mechanism}
	have := fixtures.Facilities{Bindings: mallory.Bindings(conn, conn.ConnectionState().PeerCertificates[0])}
	_, err = login.Play(ctx, nil, end, have)
	return errors.Join(err, end.lost)
}

// lineServer is the server of a vector, at the other end of an actor's connection.
type lineServer struct {
	actor     *actor
	mechanism string
	steps     int
	// lost is why no reply came.
	lost error
}

// Next sends a message, the last one with the empty line behind it, and returns the challenge of the reply. It
// leaves a reply without a challenge for "hears".
func (s *lineServer) Next(ctx context.Context, heard []byte) ([]byte, error) {
	lines := []string{encoded(heard), ""}
	if s.steps++; s.steps == 1 {
		lines = []string{"AUTH " + s.mechanism + " " + encoded(heard)}
	}
	challenge, err := s.actor.challenge(ctx, lines...)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		s.actor.mu.Lock()
		s.actor.heard = slices.Insert(s.actor.heard, 0, refused.reply)
		s.actor.mu.Unlock()
	case err != nil:
		s.lost = err
	}
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(strings.TrimPrefix(challenge, challengePrefix))
}
