package harness

import (
	"bytes"
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

// Wire is a TLS connection to the server with nothing but lines on it: for
// what no well-behaved client would send.
type Wire struct {
	*testserver.Conn
	TCP *net.TCPConn
	raw *corkable
	h   *H
}

// corkable keeps what is written while it is corked.
type corkable struct {
	net.Conn
	corked *bytes.Buffer
}

func (c *corkable) Write(p []byte) (int, error) {
	if c.corked != nil {
		return c.corked.Write(p)
	}
	return c.Conn.Write(p)
}

// Together has the records that send writes go out in one TCP segment.
func (w *Wire) Together(send func()) {
	w.h.T.Helper()
	w.raw.corked = &bytes.Buffer{}
	send()
	records := w.raw.corked.Bytes()
	w.raw.corked = nil
	if _, err := w.raw.Write(records); err != nil {
		w.h.T.Fatalf("send: %v", err)
	}
}

// Wire connects as a native client, or as a generic one.
func (h *H) Wire(ctx context.Context, native bool) *Wire {
	h.T.Helper()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", h.Addr)
	if err != nil {
		h.T.Fatalf("dial: %v", err)
	}
	return h.WireOn(ctx, raw, native)
}

// WireOn is Wire on a connection to the server that the caller has made.
func (h *H) WireOn(ctx context.Context, raw net.Conn, native bool) *Wire {
	h.T.Helper()
	config := &tls.Config{RootCAs: h.Roots, DynamicRecordSizingDisabled: true, KeyLogWriter: h.KeyLog}
	if native {
		config.NextProtos = []string{protocol.ALPN}
	}
	w := &Wire{raw: &corkable{Conn: raw}, h: h}
	if h.Eve != nil {
		w.raw.Conn = h.Eve.Tap(raw)
	}
	h.T.Cleanup(func() { _ = raw.Close() })
	if w.TCP, _ = raw.(*net.TCPConn); w.TCP != nil {
		// No spec may hang for ever on a connection.
		_ = raw.SetDeadline(time.Now().Add(time.Minute))
	}
	conn, err := testserver.ClientConn(ctx, w.raw, config)
	if err != nil {
		h.T.Fatalf("handshake: %v", err)
	}
	w.Conn = conn
	return w
}

// Send writes octets as they are, in one record.
func (w *Wire) Send(s string) {
	w.h.T.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		w.h.T.Fatalf("send %.40q: %v", s, err)
	}
}

// Line reads one line. At the end of the connection it is "EOF" after a close_notify, and the error
// otherwise.
func (w *Wire) Line() string {
	line, err := w.Conn.Line()
	if err != nil {
		return err.Error()
	}
	return line
}

// Octets reads n octets.
func (w *Wire) Octets(n int) string {
	p := make([]byte, n)
	n, _ = io.ReadFull(w.In, p)
	return string(p[:n])
}

// Ask sends a line and reads one.
func (w *Wire) Ask(line string) string {
	w.h.T.Helper()
	w.Send(line + "\r\n")
	return w.Line()
}

// Greeted reads the greeting.
func (w *Wire) Greeted() *Wire {
	w.h.T.Helper()
	if line := w.Line(); !strings.HasPrefix(line, "220 ") {
		w.h.T.Fatalf("greeted with %q", line)
	}
	return w
}

// begin begins a login and returns it with the client-final line.
func (w *Wire) begin(name string) (*testserver.Login, string) {
	w.h.T.Helper()
	login, err := testserver.NewLogin(w.Conn.Conn, scram.ClientConfig{Username: name})
	if err != nil {
		w.h.T.Fatalf("login: %v", err)
	}
	auth, err := login.Auth()
	if err != nil {
		w.h.T.Fatalf("client-first: %v", err)
	}
	final, err := login.Final(context.Background(), w.Ask(auth))
	if err != nil {
		w.h.T.Fatalf("client-final: %v", err)
	}
	return login, final
}

// Challenged begins a login and returns the line that would prove it.
func (w *Wire) Challenged(name string) (final string) {
	w.h.T.Helper()
	_, final = w.begin(name)
	return final
}

// WrongProof answers a challenge of a login without binding as somebody does
// who doesn't know the password.
func (w *Wire) WrongProof(challenge string) (final string) {
	w.h.T.Helper()
	first, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(challenge, "334 "))
	if err != nil {
		w.h.T.Fatalf("no challenge: %q", challenge)
	}
	nonce, _, _ := strings.Cut(string(first), ",")
	return encode([]byte("c=biws," + nonce + ",p=" + encode(make([]byte, 32))))
}

// Prove sends client-final and, in a record of its own, what follows, all in
// one TCP segment.
func (w *Wire) Prove(final, follows string) {
	w.h.T.Helper()
	w.Together(func() {
		w.Send(final + "\r\n\r\n")
		w.Send(follows)
	})
}

// Login sends a login, with what is to follow it in the same record, and stops
// before the line that answers it.
func (w *Wire) Login(name, follows string) *Wire {
	w.h.T.Helper()
	login, final := w.begin(name)
	w.Send(final + "\r\n\r\n" + follows)
	if err := login.Verify(w.Line()); err != nil {
		w.h.T.Fatalf("server-final: %v", err)
	}
	return w
}

// Seated logs in and reads the 235.
func (w *Wire) Seated(name string) *Wire {
	w.h.T.Helper()
	w.Greeted().Login(name, "")
	if line := w.Line(); !strings.HasPrefix(line, "235 ") {
		w.h.T.Fatalf("%s is answered %q", name, line)
	}
	return w
}

func encode(p []byte) string { return base64.StdEncoding.EncodeToString(p) }
