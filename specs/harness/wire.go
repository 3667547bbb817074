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
)

// Wire is a TLS connection to the server with nothing but lines on it: for
// what no well-behaved client would send.
type Wire struct {
	*tls.Conn
	TCP *net.TCPConn
	raw *ending
	h   *H
	in  *protocol.Reader
}

// ending notes the end of the connection below TLS, which crypto/tls takes for
// a close_notify between two records.
type ending struct {
	net.Conn
	ended  bool
	corked *bytes.Buffer // while set, what is written is kept
}

func (e *ending) Write(p []byte) (int, error) {
	if e.corked != nil {
		return e.corked.Write(p)
	}
	return e.Conn.Write(p)
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

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.ended = e.ended || err != nil
	return n, err
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
	config := &tls.Config{RootCAs: h.Roots, ServerName: "localhost", DynamicRecordSizingDisabled: true, KeyLogWriter: h.KeyLog}
	if native {
		config.NextProtos = []string{protocol.ALPN}
	}
	below := &ending{Conn: raw}
	if h.Eve != nil {
		below.Conn = h.Eve.Tap(raw)
	}
	w := &Wire{Conn: tls.Client(below, config), raw: below, h: h}
	w.TCP, _ = raw.(*net.TCPConn)
	w.in = protocol.NewReader(w.Conn)
	h.T.Cleanup(func() { _ = raw.Close() })
	if w.TCP != nil {
		// No spec may hang for ever on a connection.
		_ = raw.SetDeadline(time.Now().Add(time.Minute))
	}
	if err := w.HandshakeContext(ctx); err != nil {
		h.T.Fatalf("handshake: %v", err)
	}
	return w
}

// Send writes octets as they are, in one record.
func (w *Wire) Send(s string) {
	w.h.T.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		w.h.T.Fatalf("send %.40q: %v", s, err)
	}
}

// Line reads one line. At the end of the connection it is "EOF", where the
// server has said close_notify, and otherwise the error.
func (w *Wire) Line() string {
	line, err := w.in.ReadLine()
	switch {
	case err == nil:
		return string(line)
	case w.raw.ended:
		return "cut: " + err.Error()
	}
	return err.Error()
}

// Octets reads n octets.
func (w *Wire) Octets(n int) string {
	p := make([]byte, n)
	n, _ = io.ReadFull(w.in, p)
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

// conversation begins a login and returns it with the client-final line.
func (w *Wire) conversation(name string) (*scram.Client, string) {
	w.h.T.Helper()
	state := w.ConnectionState()
	binding, err := scram.TLSExporter(state.ExportKeyingMaterial)
	if err != nil {
		w.h.T.Fatalf("exporter: %v", err)
	}
	c, err := scram.NewClient(scram.ClientConfig{
		Username: name, Password: Password(name), Mechanism: scram.SHA256Plus, Binding: binding, Keys: keys,
	})
	if err != nil {
		w.h.T.Fatalf("client: %v", err)
	}
	first, err := c.First()
	if err != nil {
		w.h.T.Fatalf("client-first: %v", err)
	}
	final, err := c.Final(context.Background(), w.decode(w.Ask("AUTH SCRAM-SHA-256-PLUS "+encode(first))))
	if err != nil {
		w.h.T.Fatalf("client-final: %v", err)
	}
	return c, encode(final)
}

// Challenged begins a login and returns the line that would prove it.
func (w *Wire) Challenged(name string) (final string) {
	w.h.T.Helper()
	_, final = w.conversation(name)
	return final
}

// WrongProof answers a challenge of a login without binding as somebody does
// who doesn't know the password.
func (w *Wire) WrongProof(challenge string) (final string) {
	w.h.T.Helper()
	nonce, _, _ := strings.Cut(string(w.decode(challenge)), ",")
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
	c, final := w.conversation(name)
	w.Send(final + "\r\n\r\n" + follows)
	if err := c.Verify(w.decode(w.Line())); err != nil {
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

func (w *Wire) decode(line string) []byte {
	w.h.T.Helper()
	text, ok := strings.CutPrefix(line, "334 ")
	p, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		w.h.T.Fatalf("no challenge: %q", line)
	}
	return p
}

func encode(p []byte) string { return base64.StdEncoding.EncodeToString(p) }
