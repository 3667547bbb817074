package client

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
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
)

var alice = Credentials{Username: "alice", Password: "open sesame"}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// authority is a private CA and what it has signed.
type authority struct {
	key  crypto.Signer
	cert *x509.Certificate
}

var (
	trusted = sync.OnceValue(func() *authority { return newAuthority("trusted") })
	foreign = sync.OnceValue(func() *authority { return newAuthority("foreign") })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func newAuthority(name string) *authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	cert := template(name)
	cert.IsCA, cert.BasicConstraintsValid, cert.KeyUsage = true, true, x509.KeyUsageCertSign
	der := must(x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key))
	return &authority{key, must(x509.ParseCertificate(der))}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue signs a certificate for 127.0.0.1, after changing it.
func (a *authority) issue(change func(*x509.Certificate)) tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	cert := template("server")
	cert.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if change != nil {
		change(cert)
	}
	der := must(x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), a.key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

var goodCertificate = sync.OnceValue(func() tls.Certificate { return trusted().issue(nil) })

func serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{goodCertificate()}, NextProtos: []string{protocol.ALPN}}
}

func dialer() *Dialer { return &Dialer{TLSConfig: &tls.Config{RootCAs: trusted().pool()}} }

// session is a scripted server's side of one connection. Its methods end the
// goroutine that runs the script when the connection ends.
type session struct {
	t      testing.TB
	conn   *tls.Conn
	reader *protocol.Reader
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

// atEnd reads until the client closes, and reports what it sent.
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
	script(&session{t, conn, protocol.NewReader(conn)})
	conn.CloseWrite()
	io.Copy(io.Discard, conn)
}

// listen calls serve with each connection, and waits for all at the test's end.
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

// rogue is a server that does the SCRAM arithmetic right, over the messages as
// they really went over the wire, whatever it was told to break in them.
type rogue struct {
	admission  string // of EHLO
	greeting   string
	iterations string
	salt       string
	nonce      func(client string) string
	first      func(string) string   // changes server-first
	challenge  func(string) []string // makes the reply with server-first
	final      func(string) string   // changes server-final
	proof      func(string) []string // makes the reply with server-final
	seat       []string              // what is sent then
	early      []string              // sent before the AUTH is read
	seen       func(mechanism, clientFirst, clientFinal string)
}

func honest() *rogue {
	challenge := func(message string) []string { return []string{"334 " + b64(message)} }
	same := func(s string) string { return s }
	return &rogue{
		greeting: "220 test sallyport/1 ready", iterations: "4096", salt: b64("0123456789abcdef"),
		nonce: func(client string) string { return client + "server" },
		first: same, challenge: challenge, final: same, proof: challenge,
		seat: []string{"235 welcome"},
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

// signature computes v= (RFC 5802 §3) with the password of alice.
func (r *rogue) signature(bare, serverFirst, clientFinal string) string {
	iterations, err := strconv.Atoi(r.iterations)
	if err != nil || iterations < 1 || iterations > 1_000_000 {
		iterations = 4096
	}
	salt, _ := base64.StdEncoding.DecodeString(r.salt)
	salted := must(pbkdf2.Key(sha256.New, alice.Password, salt, iterations, 32))
	withoutProof, _, _ := strings.Cut(clientFinal, ",p=")
	auth := bare + "," + serverFirst + "," + withoutProof
	return b64(string(mac(mac(salted, "Server Key"), auth)))
}

// login is the server's side up to the 235.
func (r *rogue) login(s *session) {
	if r.early != nil {
		s.send(r.early...)
	}
	opening, line := []string{r.greeting}, s.line()
	if strings.HasPrefix(line, "EHLO ") {
		opening = append(opening, "250-rogue", "250 ADMISSION "+r.admission)
		line = s.line()
	}
	verb, mechanism, encoded := cut3(line)
	if verb != "AUTH" {
		s.t.Errorf("the client began with %q", verb)
	}
	clientFirst := string(must(base64.StdEncoding.DecodeString(encoded)))
	bare := strings.SplitN(clientFirst, ",", 3)[2]
	_, clientNonce, _ := strings.Cut(bare, ",r=")
	serverFirst := r.first("r=" + r.nonce(clientNonce) + ",s=" + r.salt + ",i=" + r.iterations)
	s.send(append(opening, r.challenge(serverFirst)...)...)
	clientFinal := string(must(base64.StdEncoding.DecodeString(s.line())))
	if r.seen != nil {
		r.seen(mechanism, clientFirst, clientFinal)
	}
	if s.reader.Buffered() != 2 {
		s.t.Error("the empty line did not come together with client-final")
	}
	s.expect("")
	s.send(append(r.proof(r.final("v="+r.signature(bare, serverFirst, clientFinal))), r.seat...)...)
}

func cut3(line string) (a, b, c string) {
	a, line, _ = strings.Cut(line, " ")
	b, c, _ = strings.Cut(line, " ")
	return a, b, c
}

// seated gives a client whose server logs it in and then runs the script.
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
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// serveEcho answers ECHO, with and without a body, NOOP and QUIT. It writes
// when it has read all that was sent.
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
