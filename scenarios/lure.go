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
	"sync"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/mallory"
)

// A lure is what a client takes for the server: it has a certificate that the
// client trusts.
type lure struct {
	addr  string
	roots *x509.CertPool
}

// lure is where a client of the cast goes instead of to the server, or nil.
func (st *stage) lure(name string) *lure {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.lures[name]
}

// lureAway has a client come to Mallory from now on, who receives each connection
// until the run is over.
func (st *stage) lureAway(name string, receive func(context.Context, *tls.Conn) error) error {
	if !slices.Contains(clientNames(), name) {
		return fmt.Errorf("%q is no client; those are: %s", name, strings.Join(clientNames(), " "))
	}
	pair, roots, err := mallory.Certificate("")
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(st.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	context.AfterFunc(st.ctx, func() { _ = l.Close() })
	st.mu.Lock()
	st.lures[name] = &lure{addr: l.Addr().String(), roots: roots}
	st.mu.Unlock()
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
	if c.stage.lures[c.args[0]] == nil {
		return "", fmt.Errorf("%q doesn't come to mallory", c.args[0])
	}
	delete(c.stage.lures, c.args[0])
	return "", nil
}

func doStandsBetween(_ context.Context, c *call) (string, error) {
	return "", c.stage.lureAway(c.args[0], c.stage.relay)
}

// relay passes on between a client and the server, until one of them ends.
func (st *stage) relay(ctx context.Context, visitor *tls.Conn) error {
	server, err := st.reach(ctx)
	if err != nil {
		return err
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { _ = server.NetConn().Close() })()
	var both sync.WaitGroup
	both.Go(func() { pass(server, visitor) })
	both.Go(func() { pass(visitor, server) })
	both.Wait()
	return nil
}

func pass(to, from *tls.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.CloseWrite()
}

// reach connects Mallory to the server, past Eve.
func (st *stage) reach(ctx context.Context) (*tls.Conn, error) {
	addr, config, err := st.actor("mallory").where()
	if err != nil {
		return nil, err
	}
	config.NextProtos = []string{protocol.ALPN}
	raw, err := st.eve.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

func doServes(_ context.Context, c *call) (string, error) {
	name := c.args[0]
	args, password := c.cutPassword(c.stage.password(name))
	var change mallory.Change
	switch len(args) {
	case 1:
	case 3:
		change = mallory.Change{Part: args[1], How: args[2]}
	default:
		return "", fmt.Errorf("usage: mallory %s %s", c.verb.name, c.verb.args)
	}
	who, err := c.stage.setting(name, password)
	if err != nil {
		return "", err
	}
	if _, err := mallory.Login(mallory.Server, who, change); err != nil {
		return "", err
	}
	return "", c.stage.lureAway(name, func(ctx context.Context, conn *tls.Conn) error {
		visitor := &visitor{Conn: conn, in: protocol.NewReader(conn)}
		return visitor.serve(ctx, who, change)
	})
}

// A visitor is a client that takes Mallory for the server.
type visitor struct {
	*tls.Conn
	in    *protocol.Reader
	steps int
}

func (v *visitor) say(line string) error {
	_, err := io.WriteString(v, line+"\r\n")
	return err
}

// serve plays the server's part of a login, and says nothing more to who believes
// it.
func (v *visitor) serve(ctx context.Context, who mallory.Setting, change mallory.Change) error {
	login, err := mallory.Login(mallory.Server, who, change)
	if err != nil {
		return err
	}
	if err = v.say("220 mallory sallyport/1 ready"); err != nil {
		return err
	}
	if _, err = login.Replay(ctx, v, nil, nil); err != nil { // the client's word for its binding will do
		return err
	}
	_, err = io.Copy(io.Discard, v.Conn)
	return err
}

// Next says a challenge, after the last one that the login is good, and takes the
// message that answers it.
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
	return nil, v.say("334 " + encoded(heard) + "\r\n235 welcome")
}

// message takes a line; behind the prefix the mechanism comes first.
func (v *visitor) message(prefix string) ([]byte, error) {
	line, err := v.in.ReadLine()
	if err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(string(line), prefix)
	if !ok {
		return nil, fmt.Errorf("expected %q, heard %.200q", prefix, line)
	}
	return base64.StdEncoding.DecodeString(text[strings.LastIndexByte(text, ' ')+1:])
}
