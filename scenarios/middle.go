package scenarios

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/mallory"
)

func doStandsBetween(_ context.Context, c *call) (string, error) {
	login, err := c.rogue(mallory.Middle)
	if err != nil {
		return "", err
	}
	if len(c.args) < 3 { // she changes nothing
		login = nil
	}
	return "", c.stage.lureAway(c.args[0], func(ctx context.Context, conn *tls.Conn) error {
		return c.stage.mediate(ctx, newParty(conn), login)
	})
}

// mediate connects a client to the server, through Mallory. Without a login of
// hers she takes no part in it.
func (st *stage) mediate(ctx context.Context, client party, login func() (*fixtures.Vector, error)) error {
	conn, err := st.reach(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.NetConn().Close() })()
	server := newParty(conn)
	if login != nil {
		script, err := login()
		if err == nil {
			err = alter(ctx, script, &visitor{party: client}, server)
		}
		if err != nil {
			return err
		}
	}
	relay(client, server)
	return nil
}

// alter passes a login on but for what the script changes, with the server's
// refusal if it comes to that; the welcome is still to come.
func alter(ctx context.Context, login *fixtures.Vector, client *visitor, server party) error {
	greeting, err := server.in.ReadLine()
	if err != nil {
		return err
	}
	if err = client.say(string(greeting)); err != nil {
		return err
	}
	bindings := mallory.Bindings(server.Conn, server.ConnectionState().PeerCertificates[0])
	end := &visited{party: server, client: client}
	if _, err = login.Play(ctx, client, end, fixtures.Facilities{Bindings: bindings}); err != nil {
		return err
	}
	if end.refusal != "" {
		return client.say(end.refusal)
	}
	return nil
}

// relay passes on between a client and the server, until both have ended.
func relay(client, server party) {
	var both sync.WaitGroup
	both.Go(func() { pass(server, client) })
	both.Go(func() { pass(client, server) })
	both.Wait()
}

func pass(to, from party) {
	_, _ = io.Copy(to.Conn, from.in)
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
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// visited is the server at which Mallory passes on what a client says.
type visited struct {
	party
	client  *visitor
	steps   int
	refusal string // what it said instead of a challenge
}

// Next sends a message, and takes the challenge that answers it.
func (v *visited) Next(_ context.Context, heard []byte) ([]byte, error) {
	line := encoded(heard)
	if v.steps++; v.steps == 1 {
		line = "AUTH " + v.client.mechanism + " " + line
	}
	if err := v.say(line); err != nil {
		return nil, err
	}
	answer, err := v.in.ReadLine()
	if err != nil {
		return nil, err
	}
	challenge, ok := strings.CutPrefix(string(answer), "334 ")
	if !ok {
		v.refusal = string(answer)
		return nil, errors.New(v.refusal)
	}
	return base64.StdEncoding.DecodeString(challenge)
}
