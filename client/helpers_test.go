package client

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
)

var alice = Credentials{Username: "alice", Password: "open sesame"}

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

// certify makes a self-signed certificate for 127.0.0.1. A change, if any, is made before it is signed.
func certify(key crypto.Signer, change func(*x509.Certificate)) tls.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	if change != nil {
		change(template)
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}
}

var (
	key = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	// goodCertificate is the certificate of serverTLS. The Dialer of dialer trusts it.
	goodCertificate = sync.OnceValue(func() tls.Certificate { return certify(key(), nil) })
	// verifier is the verifier of alice.
	verifier = sync.OnceValue(func() scram.Verifier { return must(scram.NewVerifier(alice.Password, nil, scram.MinIterations)) })
)

func serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{goodCertificate()}, NextProtos: []string{protocol.ALPN}}
}

func trusting(pair tls.Certificate) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	return roots
}

func dialer() *Dialer { return &Dialer{TLSConfig: &tls.Config{RootCAs: trusting(goodCertificate())}} }

// session is a scripted server's side of one connection. Its methods panic when the connection ends, and
// run recovers from that.
type session struct {
	t           testing.TB
	conn        *tls.Conn
	reader      *protocol.Reader
	certificate *x509.Certificate
}

var errOver = errors.New("the connection is over")

func (s *session) line() string {
	line, err := s.reader.ReadLine()
	if err != nil {
		panic(errOver)
	}
	return string(line)
}

func (s *session) expect(want string) {
	if got := s.line(); got != want {
		s.t.Errorf("the client sent %q, not %q", got, want)
		panic(errOver)
	}
}

func (s *session) send(lines ...string) {
	if _, err := io.WriteString(s.conn, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		panic(errOver)
	}
}

// atEnd reads until the client closes the connection, and returns what it sent.
func (s *session) atEnd() string {
	rest, _ := io.ReadAll(s.reader)
	return string(rest)
}

// run runs the script on a raw connection.
func run(t testing.TB, raw net.Conn, config *tls.Config, script func(*session)) {
	defer raw.Close()
	defer func() {
		if err := recover(); err != nil && err != errOver {
			panic(err)
		}
	}()
	conn := tls.Server(raw, config)
	if conn.Handshake() != nil {
		return
	}
	script(&session{t, conn, protocol.NewReader(conn), config.Certificates[0].Leaf})
	conn.CloseWrite()
	io.Copy(io.Discard, conn)
}

// listen calls serve with each connection. The end of the test waits for all of them.
func listen(t testing.TB, serve func(net.Conn)) (addr string) {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	var all sync.WaitGroup
	all.Go(func() {
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			raw.SetDeadline(time.Now().Add(20 * time.Second))
			all.Go(func() { serve(raw) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		all.Wait()
	})
	return listener.Addr().String()
}

func serve(t testing.TB, config *tls.Config, script func(*session)) (addr string) {
	return listen(t, func(raw net.Conn) { run(t, raw, config, script) })
}

// rogue is the server's side of a login. It knows the password and makes no mistake, unless a test
// replaces one of its replies.
type rogue struct {
	admission    string   // the policy that EHLO names
	capabilities []string // more lines of EHLO
	lastWord     string   // that must come in place of the empty line
	greeting     string
	challenge    func(serverFirst string) []string
	proof        func(serverFinal string) []string
	seat         []string
}

func honest() *rogue {
	challenge := func(message string) []string { return []string{"334 " + b64(message)} }
	return &rogue{greeting: "220 test sallyport/1 ready", challenge: challenge, proof: challenge, seat: []string{"235 welcome"}}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// login serves a login up to the 235. It sends 535 if the proof is wrong.
func (r *rogue) login(s *session) {
	opening, line := []string{r.greeting}, s.line()
	if strings.HasPrefix(line, "EHLO ") {
		opening = append(append(append(opening, "250-rogue"), r.capabilities...), "250 ADMISSION "+r.admission)
		line = s.line()
	}
	verb, mechanism, encoded := cut3(line)
	if verb != "AUTH" {
		s.t.Errorf("the client began with %q", verb)
	}
	server := scram.NewServer(scram.ServerConfig{
		Mechanism: mechanism, PlusOffered: true, Bindings: s.bindings(),
		Lookup: func(string) (scram.Verifier, bool) { return verifier(), true },
	})
	serverFirst, err := server.First(must(decode(encoded)))
	if err != nil {
		s.send(append(opening, "535 login-failed no")...)
		return
	}
	s.send(append(opening, r.challenge(string(serverFirst))...)...)
	clientFinal := must(decode(s.line()))
	if s.reader.Buffered() != len(b64(r.lastWord))+2 {
		s.t.Error("the last line did not come together with client-final")
	}
	s.expect(b64(r.lastWord))
	serverFinal, err := server.Final(clientFinal)
	if err != nil {
		s.send("535 login-failed no")
		return
	}
	s.send(append(r.proof(string(serverFinal)), r.seat...)...)
}

// bindings returns the channel bindings of the connection.
func (s *session) bindings() (all []scram.ChannelBinding) {
	state := s.conn.ConnectionState()
	if exporter, err := scram.TLSExporter(state.ExportKeyingMaterial); err == nil && state.Version >= tls.VersionTLS13 {
		all = append(all, exporter)
	}
	if endPoint, err := scram.TLSServerEndPoint(s.certificate); err == nil {
		all = append(all, endPoint)
	}
	return all
}

func cut3(line string) (a, b, c string) {
	a, line, _ = strings.Cut(line, " ")
	b, c, _ = strings.Cut(line, " ")
	return a, b, c
}

// seated returns a client whose server logs it in and then runs the script.
func seated(t testing.TB, script func(*session)) *Client {
	return seatedBy(t, dialer(), script)
}

func seatedBy(t testing.TB, d *Dialer, script func(*session)) *Client {
	t.Helper()
	addr := serve(t, serverTLS(), func(s *session) {
		honest().login(s)
		script(s)
	})
	c, err := d.Dial(testContext(t), addr, alice)
	check(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// serveEcho answers ECHO, with and without a body, and QUIT. It writes when it has read all input.
func serveEcho(s *session) {
	var out, body []byte
	for {
		line, err := s.reader.ReadLine()
		if err != nil {
			return
		}
		command, err := protocol.ParseCommand(line)
		switch {
		case err != nil:
			panic(err)
		case command.HasBody:
			body = append(body[:0], make([]byte, command.Body)...)
			if _, err := io.ReadFull(s.reader, body); err != nil {
				return
			}
			out = append(strconv.AppendInt(append(out, "251 "...), command.Body, 10), "\r\n"...)
			out = append(out, body...)
		case bytes.Equal(command.Verb, []byte("ECHO")):
			out = append(append(append(out, "250 "...), command.Argument...), "\r\n"...)
		case bytes.Equal(command.Verb, []byte("QUIT")):
			s.conn.Write(append(out, "221 bye\r\n"...))
			return
		default:
			out = append(out, "500 unknown-command no such verb\r\n"...)
		}
		if s.reader.Buffered() > 0 {
			continue
		}
		if _, err := s.conn.Write(out); err != nil {
			return
		}
		out = out[:0]
	}
}
