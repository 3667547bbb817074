package stream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
)

var alice = client.Credentials{Username: "alice", Password: "open sesame"}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// peer is the scripted server's side of a connection. Its methods panic with errOver when the connection ends.
type peer struct {
	t      testing.TB
	conn   *tls.Conn
	reader *protocol.Reader
}

var errOver = errors.New("the connection is over")

func (p *peer) line() string {
	line, err := p.reader.ReadLine()
	if err != nil {
		panic(errOver)
	}
	return string(line)
}

func (p *peer) expect(lines ...string) {
	p.t.Helper()
	for _, want := range lines {
		if got := p.line(); got != want {
			p.t.Errorf("the client sent %q, not %q", got, want)
			panic(errOver)
		}
	}
}

// expectBytes expects the bytes of a DATA.
func (p *peer) expectBytes(want string) {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(p.reader, got); err != nil || string(got) != want {
		p.t.Errorf("the client sent %q, not %q", got, want)
		panic(errOver)
	}
}

// send sends text in which "\n" stands for CRLF.
func (p *peer) send(text string) { p.sendRaw(strings.ReplaceAll(text, "\n", "\r\n")) }

func (p *peer) sendRaw(text string) {
	if _, err := io.WriteString(p.conn, text); err != nil {
		panic(errOver)
	}
}

// seated returns a client whose server runs the script after the login.
func seated(t testing.TB, script func(*peer)) *client.Client {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	leaf := must(x509.ParseCertificate(der))
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		raw, err := listener.Accept()
		if err != nil {
			return
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(20 * time.Second))
		serve(t, tls.Server(raw, &tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{protocol.ALPN},
		}), script)
	}()
	t.Cleanup(func() {
		listener.Close()
		<-ended
	})
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	d := &client.Dialer{TLSConfig: &tls.Config{RootCAs: roots}}
	c, err := d.Dial(testContext(t), listener.Addr().String(), alice)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func serve(t testing.TB, conn *tls.Conn, script func(*peer)) {
	defer func() {
		if err := recover(); err != nil && err != errOver {
			panic(err)
		}
	}()
	p := &peer{t, conn, protocol.NewReader(conn)}
	p.login()
	script(p)
	conn.CloseWrite()
	io.Copy(io.Discard, conn)
}

// login serves a good login up to the 235.
func (p *peer) login() {
	_, initial, _ := strings.Cut(p.line(), scram.SHA256Plus+" ")
	state := p.conn.ConnectionState()
	server := scram.NewServer(scram.ServerConfig{
		Mechanism: scram.SHA256Plus, PlusOffered: true,
		Bindings: []scram.ChannelBinding{must(scram.TLSExporter(state.ExportKeyingMaterial))},
		Lookup: func(string) (scram.Verifier, bool) {
			return must(scram.NewVerifier(alice.Password, nil, scram.MinIterations)), true
		},
	})
	first := must(server.First(must(base64.StdEncoding.DecodeString(initial))))
	p.send("220 test sallyport/1 ready\n334 " + base64.StdEncoding.EncodeToString(first) + "\n")
	final := must(server.Final(must(base64.StdEncoding.DecodeString(p.line()))))
	p.expect("")
	p.send("334 " + base64.StdEncoding.EncodeToString(final) + "\n235 welcome\n")
}
