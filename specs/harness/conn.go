package harness

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// Conn is a [testserver.Conn] to the server whose methods fail the test where they can't do what they say.
type Conn struct {
	*testserver.Conn
	// TCP is the connection below TLS. Nil means that it is no TCP connection.
	TCP *net.TCPConn
	h   *H
}

// must fails the test if there is an error.
func (h *H) must(err error, what string) {
	h.T.Helper()
	if err != nil {
		h.T.Fatalf("%s: %v", what, err)
	}
}

// Connect connects as a native client.
func (h *H) Connect(ctx context.Context) *Conn {
	h.T.Helper()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", h.Addr)
	h.must(err, "dial")
	return h.ConnectOn(ctx, raw)
}

// ConnectOn is Connect on a connection to the server that the caller has made.
func (h *H) ConnectOn(ctx context.Context, raw net.Conn) *Conn {
	h.T.Helper()
	h.T.Cleanup(func() { _ = raw.Close() })
	c := &Conn{h: h}
	if c.TCP, _ = raw.(*net.TCPConn); c.TCP != nil {
		// No spec may hang for ever on a connection. In synthetic time there is none.
		_ = raw.SetDeadline(time.Now().Add(time.Minute))
	}
	if h.Eve != nil {
		raw = h.Eve.Tap(raw)
	}
	var err error
	c.Conn, err = testserver.ClientConn(ctx, raw, &tls.Config{
		RootCAs: h.Roots, NextProtos: []string{protocol.ALPN}, DynamicRecordSizingDisabled: true, KeyLogWriter: h.KeyLog,
	})
	h.must(err, "handshake")
	return c
}

// Send writes text as it is, in one record.
func (c *Conn) Send(text string) {
	c.h.T.Helper()
	_, err := io.WriteString(c, text)
	c.h.must(err, "send")
}

// Line reads one line. At the end of the connection it is "EOF" after a close_notify, and the error otherwise.
func (c *Conn) Line() string {
	line, err := c.Conn.Line()
	if err != nil {
		return err.Error()
	}
	return line
}

// Bytes reads n bytes.
func (c *Conn) Bytes(n int) string {
	p := make([]byte, n)
	n, _ = io.ReadFull(c.In, p)
	return string(p[:n])
}

// Ask sends a line and reads one.
func (c *Conn) Ask(line string) string {
	c.h.T.Helper()
	c.Send(line + "\r\n")
	return c.Line()
}

// Greeted reads the greeting.
func (c *Conn) Greeted() *Conn {
	c.h.T.Helper()
	if line := c.Line(); !strings.HasPrefix(line, "220 ") {
		c.h.T.Fatalf("greeted with %q", line)
	}
	return c
}

// Challenged begins a login, and returns it with the line that would prove it.
func (c *Conn) Challenged(name string) (login *testserver.Login, final string) {
	c.h.T.Helper()
	login, err := testserver.NewLogin(c.Conn.Conn, scram.ClientConfig{Username: name})
	c.h.must(err, "login")
	auth, err := login.Auth()
	c.h.must(err, "client-first")
	final, err = login.Final(context.Background(), c.Ask(auth))
	c.h.must(err, "client-final")
	return login, final
}

// WrongProof returns the client-final line of a client without the password,
// for the challenge of a login without binding.
func (c *Conn) WrongProof(challenge string) (final string) {
	c.h.T.Helper()
	encoding := base64.StdEncoding
	first, err := encoding.DecodeString(strings.TrimPrefix(challenge, "334 "))
	c.h.must(err, "challenge")
	nonce, _, _ := strings.Cut(string(first), ",")
	return encoding.EncodeToString([]byte("c=biws," + nonce + ",p=" + encoding.EncodeToString(make([]byte, 32))))
}

// LogIn sends a login, and what follows it in the same record, and stops before the line that answers it.
func (c *Conn) LogIn(name, follows string) *Conn {
	c.h.T.Helper()
	login, final := c.Challenged(name)
	c.Send(final + "\r\n\r\n" + follows)
	c.h.must(login.Verify(c.Line()), "server-final")
	return c
}

// Seated logs in and reads the 235.
func (c *Conn) Seated(name string) *Conn {
	c.h.T.Helper()
	c.Greeted().LogIn(name, "")
	if line := c.Line(); !strings.HasPrefix(line, "235 ") {
		c.h.T.Fatalf("%s is answered %q", name, line)
	}
	return c
}
