package scenarios

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/mallory"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// A decoy is a server of Mallory's to which a client goes instead of to the real one.
type decoy struct {
	addr  string
	roots *x509.CertPool // that the client trusts
}

// decoyOf returns where a client of the cast goes instead of to the server, or nil.
func (st *stage) decoyOf(name string) *decoy {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.decoys[name]
}

// decoy has a client go to the listener that it returns, until the run is over.
func (st *stage) decoy(name string, roots *x509.CertPool) (net.Listener, error) {
	if !slices.Contains(clientNames(), name) {
		return nil, fmt.Errorf("%q is no client; those are: %s", name, strings.Join(clientNames(), " "))
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

// lureAway has a client come to Mallory from now on, who receives each connection
// until the run is over.
func (st *stage) lureAway(name string, receive func(context.Context, *tls.Conn) error) error {
	pair, roots, err := testserver.FaultyCertificate("")
	if err != nil {
		return err
	}
	l, err := st.decoy(name, roots)
	if err != nil {
		return err
	}
	go st.welcome(l, pair, func(visitor *tls.Conn) {
		if err := receive(st.ctx, visitor); err != nil {
			st.said("mallory", name, "(ends: "+err.Error()+")")
		}
	})
	return nil
}

// welcome accepts until the listener is closed.
func (st *stage) welcome(l net.Listener, pair tls.Certificate, receive func(*tls.Conn)) {
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol.ALPN}, MinVersion: tls.VersionTLS12,
	}
	for {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer raw.Close()
			defer context.AfterFunc(st.ctx, func() { _ = raw.Close() })()
			conn := tls.Server(raw, config)
			if conn.HandshakeContext(st.ctx) == nil {
				receive(conn)
			}
		}()
	}
}

func doStepsAside(_ context.Context, c *call) (string, error) {
	c.stage.mu.Lock()
	defer c.stage.mu.Unlock()
	if c.stage.decoys[c.args[0]] == nil {
		return "", fmt.Errorf("%q doesn't come to mallory", c.args[0])
	}
	delete(c.stage.decoys, c.args[0])
	return "", nil
}

// rogue is what Mallory does to a client's login, and what she knows for it.
func (c *call) rogue(role mallory.Role) (login func() (*fixtures.Vector, error), err error) {
	args, password := c.cutPassword(c.stage.password(c.args[0]))
	var change mallory.Change
	switch len(args) {
	case 1:
	case 3:
		change = mallory.Change{Part: args[1], How: args[2]}
	default:
		return nil, fmt.Errorf("usage: mallory %s %s", c.verb.name, c.verb.args)
	}
	who, err := c.stage.setting(c.args[0], password)
	if err != nil {
		return nil, err
	}
	login = func() (*fixtures.Vector, error) { return mallory.Login(role, who, change) }
	_, err = login()
	return login, err
}

func doServes(_ context.Context, c *call) (string, error) {
	login, err := c.rogue(mallory.Server)
	if err != nil {
		return "", err
	}
	return "", c.stage.lureAway(c.args[0], func(ctx context.Context, conn *tls.Conn) error {
		script, err := login()
		if err != nil {
			return err
		}
		return (&visitor{party: newParty(conn), welcome: "\r\n235 welcome"}).serve(ctx, script)
	})
}

// A party is at the other end of one of Mallory's connections.
type party struct {
	*tls.Conn
	in *protocol.Reader
}

func newParty(conn *tls.Conn) party { return party{conn, protocol.NewReader(conn)} }

func (p party) say(line string) error {
	_, err := io.WriteString(p, line+"\r\n")
	return err
}

// A visitor is a client that takes Mallory for the server.
type visitor struct {
	party
	steps     int
	mechanism string // that it has chosen
	welcome   string // what she says after the last challenge
}

// serve plays the server's part of a login, and says nothing more to who believes
// it. The client's word for its binding will do.
func (v *visitor) serve(ctx context.Context, login *fixtures.Vector) error {
	if err := v.say("220 mallory sallyport/1 ready"); err != nil {
		return err
	}
	if _, err := login.Play(ctx, v, nil, fixtures.Facilities{}); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, v.Conn)
	return err
}

// Next says a challenge, and takes the message that answers it.
func (v *visitor) Next(_ context.Context, heard []byte) ([]byte, error) {
	v.steps++
	switch v.steps {
	case 1:
		return v.message("AUTH ")
	case 2:
		if err := v.say("334 " + encoded(heard)); err != nil {
			return nil, err
		}
		return v.message("")
	}
	return nil, v.say("334 " + encoded(heard) + v.welcome)
}

// message takes a line; in the first one the mechanism stands between the prefix
// and the message.
func (v *visitor) message(prefix string) ([]byte, error) {
	line, err := v.in.ReadLine()
	if err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(string(line), prefix)
	if !ok {
		return nil, fmt.Errorf("expected %q, heard %.200q", prefix, line)
	}
	if mechanism, rest, ok := strings.Cut(text, " "); ok {
		v.mechanism, text = mechanism, rest
	}
	return base64.StdEncoding.DecodeString(text)
}
