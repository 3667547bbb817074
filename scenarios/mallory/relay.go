package mallory

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// Serve plays the server of the vector for the client on conn, seats it, and then reads until it ends the
// connection. It does not check the channel binding.
func Serve(ctx context.Context, conn *testserver.Conn, v *fixtures.Vector) error {
	if err := conn.Send("220 mallory sallyport/1 ready"); err != nil {
		return err
	}
	if _, err := v.Play(ctx, &client{Conn: conn, welcome: "235 welcome"}, nil, fixtures.Facilities{}); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, conn)
	return err
}

// Relay passes everything on between a client and a server until both have ended the connection. The vector has
// Mallory's change of the login. Nil means none.
func Relay(ctx context.Context, clientConn, serverConn *testserver.Conn, v *fixtures.Vector) error {
	if v != nil {
		if err := alter(ctx, clientConn, serverConn, v); err != nil {
			return err
		}
	}
	var both sync.WaitGroup
	both.Go(func() { pass(serverConn, clientConn) })
	both.Go(func() { pass(clientConn, serverConn) })
	both.Wait()
	return nil
}

func pass(to, from *testserver.Conn) {
	_, _ = io.Copy(to, from.In)
	_ = to.CloseWrite()
}

// alter passes on the login of the vector, and the server's refusal, but not the 235.
func alter(ctx context.Context, clientConn, serverConn *testserver.Conn, v *fixtures.Vector) error {
	greeting, err := serverConn.Line()
	if err != nil {
		return err
	}
	if err := clientConn.Send(greeting); err != nil {
		return err
	}
	c := &client{Conn: clientConn}
	s := &server{Conn: serverConn, client: c}
	have := fixtures.Facilities{Bindings: Bindings(serverConn.Conn, serverConn.ConnectionState().PeerCertificates[0])}
	if _, err := v.Play(ctx, c, s, have); err != nil || s.refusal == "" {
		return err
	}
	return clientConn.Send(s.refusal)
}

// client is the client of a vector. Mallory is its server.
type client struct {
	*testserver.Conn
	steps     int
	mechanism string
	// welcome follows the last challenge. Empty means that nothing follows.
	welcome string
}

// Next sends a challenge, and returns the message of the answer.
func (c *client) Next(_ context.Context, challenge []byte) ([]byte, error) {
	lines := []string{"334 " + encode(challenge)}
	if c.steps++; c.steps == 3 && c.welcome != "" {
		lines = append(lines, c.welcome)
	}
	if c.steps > 1 {
		if err := c.Send(lines...); err != nil || c.steps == 3 {
			return nil, err
		}
	}
	line, err := c.Line()
	if err != nil {
		return nil, err
	}
	if c.steps == 1 {
		auth, ok := strings.CutPrefix(line, "AUTH ")
		if !ok {
			return nil, fmt.Errorf("expected AUTH, not %.200q", line)
		}
		c.mechanism, line, _ = strings.Cut(auth, " ")
	}
	return base64.StdEncoding.DecodeString(line)
}

// server is the server of a vector. Mallory is its client.
type server struct {
	*testserver.Conn
	client *client
	steps  int
	// refusal is a reply without a challenge.
	refusal string
}

// Next sends a message, and returns the challenge of the reply.
func (s *server) Next(_ context.Context, message []byte) ([]byte, error) {
	line := encode(message)
	if s.steps++; s.steps == 1 {
		line = "AUTH " + s.client.mechanism + " " + line
	}
	if err := s.Send(line); err != nil {
		return nil, err
	}
	reply, err := s.Line()
	if err != nil {
		return nil, err
	}
	challenge, ok := strings.CutPrefix(reply, "334 ")
	if !ok {
		s.refusal = reply
		return nil, errors.New(reply)
	}
	return base64.StdEncoding.DecodeString(challenge)
}

func encode(p []byte) string { return base64.StdEncoding.EncodeToString(p) }
