package specs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// serverOf starts a server with the user of a vector, and its bindings.
func serverOf(v *fixtures.Vector) *harness.H {
	stored, err := v.Verifier()
	Expect(err).NotTo(HaveOccurred())
	user, err := scram.ParseVerifier(stored)
	Expect(err).NotTo(HaveOccurred())
	return start(func(srv *server.Server) {
		mock := scram.NewMock([]byte(fixtures.MockSecret), []scram.Verifier{user})
		srv.Users = vectorUsers{v.Login, user, mock, testserver.NewUsers()}
		if !slices.Contains(v.Login.Bindings, scram.TypeServerEndPoint) {
			srv.TLSConfig.Certificates = []tls.Certificate{testserver.Certificate(testserver.Ed25519)}
		}
		srv.TLSConfig.MinVersion = tls.VersionTLS12
	})
}

// vectorUsers are the user of a vector and, under other names, the cast.
type vectorUsers struct {
	login fixtures.Login
	user  scram.Verifier
	mock  *scram.Mock
	cast  *testserver.Users
}

func (u vectorUsers) Lookup(name string) (scram.Verifier, bool) {
	v, known := u.cast.Lookup(name)
	switch {
	case name == u.login.Name && u.login.Known:
		return u.user, true
	case known && name != u.login.Name:
		return v, true
	}
	return u.mock.Verifier(name), false
}

// testServer plays a vector against a server, which serves an honest client afterwards.
func testServer(ctx SpecContext, v *fixtures.Vector) {
	GinkgoHelper()
	h := serverOf(v)
	end := dialServer(ctx, h, v)
	outcome, want := play(ctx, v, nil, end, end.bindings()), v.Found
	switch {
	case end.long: // it does not come as far as SCRAM
		want.Reason = "line-too-long"
		Expect(end.refusal).To(HavePrefix("500 line-too-long "))
	case v.Login.ServerMechanism == scram.SHA256Plus && len(v.Login.Bindings) == 0:
		want.Reason = "mechanism"
		Expect(end.refusal).To(HavePrefix("504 mechanism "))
		Expect(end.ask("QUIT")).To(Equal("221 bye"))
	case v.Found.Stage != fixtures.Done:
		Expect(end.refusal).To(Equal("535 login-failed authentication failed"))
	default:
		Expect(end.ask("")).To(HavePrefix("235 "))
		Expect(end.ask("WHOAMI")).To(Equal("250 " + v.Login.Name))
		Expect(end.ask("QUIT")).To(Equal("221 bye"))
	}
	Expect(outcome).To(Equal(want))
	var names []string
	for _, record := range h.Log.Records("login.ok") {
		names = append(names, record.Str("user"))
	}
	if v.Found.Stage == fixtures.Done {
		Expect(names).To(Equal([]string{v.Login.Name}))
	} else {
		Expect(names).To(BeEmpty())
	}
	Expect(end.line()).To(Equal("EOF"))
	Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed(), "an honest client's login")
}

// remoteServer is the server as the peer of a vector.
type remoteServer struct {
	*tls.Conn
	h         *harness.H
	in        *protocol.Reader
	mechanism string
	begun     bool
	failures  int    // on record before
	long      bool   // a message has not fitted into a line
	refusal   string // what was said instead of a challenge
}

// dialServer connects with the version of TLS that offers the vector's bindings.
func dialServer(ctx context.Context, h *harness.H, v *fixtures.Vector) *remoteServer {
	config := &tls.Config{RootCAs: h.Roots, NextProtos: []string{protocol.ALPN}, MinVersion: tls.VersionTLS12}
	if !slices.Contains(v.Login.Bindings, scram.TypeExporter) {
		config.MaxVersion = tls.VersionTLS12
	}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", h.Addr)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(conn.Close)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	end := &remoteServer{Conn: conn.(*tls.Conn), h: h, in: protocol.NewReader(conn), mechanism: v.Login.ServerMechanism}
	end.failures = len(h.Log.Records("login.fail"))
	Expect(end.line()).To(HavePrefix("220 "))
	return end
}

// bindings are those of the connection, whatever the server makes of them.
func (r *remoteServer) bindings() map[string][]byte {
	state := r.ConnectionState()
	exporter, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	Expect(err).NotTo(HaveOccurred())
	endPoint := sha256.Sum256(state.PeerCertificates[0].Raw)
	return map[string][]byte{scram.TypeExporter: exporter, scram.TypeServerEndPoint: endPoint[:]}
}

func (r *remoteServer) line() string {
	line, err := r.in.ReadLine()
	if err != nil {
		return err.Error()
	}
	return string(line)
}

func (r *remoteServer) ask(line string) string {
	_, err := io.WriteString(r, line+"\r\n")
	Expect(err).NotTo(HaveOccurred())
	return r.line()
}

// Next sends a message and reads the challenge. The reason of a failed login is
// in the log by then.
func (r *remoteServer) Next(_ context.Context, heard []byte) ([]byte, error) {
	line := base64.StdEncoding.EncodeToString(heard)
	if !r.begun {
		if line == "" {
			line = "="
		}
		line = protocol.VerbAuth + " " + r.mechanism + " " + line
	}
	r.begun, r.long = true, len(line)+2 > protocol.MaxLine
	answer := r.ask(line)
	if challenge, ok := strings.CutPrefix(answer, "334 "); ok {
		return base64.StdEncoding.DecodeString(challenge)
	}
	r.refusal = answer
	if failures := r.h.Log.Records("login.fail"); len(failures) > r.failures {
		r.failures = len(failures)
		return nil, fixtures.Reason(failures[r.failures-1].Str("reason"))
	}
	return nil, fixtures.Reason(strings.Fields(answer)[1])
}

// testClient plays a vector against a client. One that finds a fault says nothing more, and never a
// request.
func testClient(ctx SpecContext, v *fixtures.Vector) {
	GinkgoHelper()
	if v.Login.Flag == "y" {
		Skip("the Dialer never says that it could have bound the login")
	}
	end := acceptClient(ctx, v, &client.Dialer{})
	outcome, want := play(ctx, v, end, nil, end.bindings()), v.Found
	switch {
	case v.Found.Stage == fixtures.Done:
		Expect(end.failure).NotTo(HaveOccurred())
	case end.long: // it does not come as far as SCRAM
		Expect(end.failure).To(MatchError(client.ErrProtocol))
		want.Reason = ""
	default:
		Expect(end.failure).To(MatchError(client.ErrServerUnverified))
		Expect(end.failure).To(MatchError(scram.Error(v.Found.Reason)))
	}
	Expect(outcome).To(Equal(want))
	Expect(io.ReadAll(end.in)).To(BeEmpty(), "what the client said in the end")
}

// testBoth plays a vector between a client and a server. Where either finds a fault the client has
// not logged in.
func testBoth(ctx SpecContext, v *fixtures.Vector) {
	GinkgoHelper()
	server := dialServer(ctx, serverOf(v), v)
	client := acceptClient(ctx, v, &client.Dialer{})
	err := v.Test(ctx, client, server, facilities(server.bindings()))
	if !client.long && !server.long { // else it does not come as far as SCRAM
		skipUnless(err)
	}
	_ = client.Close()
	if v.Found.Stage != fixtures.Done && client.failure == nil {
		Expect(<-client.dialled).To(HaveOccurred())
	}
}

// remoteClient is a Dialer as the peer of a vector.
type remoteClient struct {
	*tls.Conn
	in        *protocol.Reader
	mechanism string
	steps     int
	long      bool // a message has not fitted into a line
	dialled   chan error
	failure   error // of Dial
}

// acceptClient has a Dialer connect to a server of Mallory's, which it trusts.
func acceptClient(ctx context.Context, v *fixtures.Vector, dialer *client.Dialer) *remoteClient {
	pair, roots := testserver.Certificate(testserver.ECDSA), x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	dialer.TLSConfig = &tls.Config{RootCAs: roots}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol.ALPN}}
	if v.Login.Mechanism == scram.SHA256 {
		dialer.ChannelBinding = client.BindingNone
	}
	if v.Login.Binding == scram.TypeServerEndPoint {
		dialer.TLSConfig.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer l.Close()
	end := &remoteClient{mechanism: v.Login.Mechanism, dialled: make(chan error, 1)}
	go func() {
		defer GinkgoRecover()
		defer close(end.dialled)
		who := client.Credentials{Username: v.Login.User, Password: v.Login.Password, Authzid: v.Login.Authzid}
		c, err := dialer.Dial(ctx, l.Addr().String(), who)
		if err == nil {
			err = c.Close()
		}
		end.dialled <- err
	}()
	raw, err := l.Accept()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = raw.Close() }) // the second time it says so
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	end.Conn = tls.Server(raw, config)
	end.in = protocol.NewReader(end.Conn)
	Expect(end.HandshakeContext(ctx)).To(Succeed())
	return end
}

func (r *remoteClient) bindings() map[string][]byte {
	state := r.ConnectionState()
	exporter, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	Expect(err).NotTo(HaveOccurred())
	endPoint := sha256.Sum256(testserver.Certificate(testserver.ECDSA).Leaf.Raw)
	return map[string][]byte{scram.TypeExporter: exporter, scram.TypeServerEndPoint: endPoint[:]}
}

// Next sends a challenge, after the last one the 235 as well, and reads the line
// that answers it. Where there is none, Dial has failed.
func (r *remoteClient) Next(_ context.Context, heard []byte) ([]byte, error) {
	r.steps++
	reply := "334 " + base64.StdEncoding.EncodeToString(heard)
	r.long = len(reply)+2 > protocol.MaxLine
	switch r.steps {
	case 1:
		reply = "220 mallory sallyport/1 ready"
	case 3:
		reply += "\r\n235 welcome"
	}
	_, _ = io.WriteString(r, reply+"\r\n") // a client that hangs up is no fault
	if r.steps == 3 {
		return nil, r.fail()
	}
	line, err := r.in.ReadLine()
	if err != nil {
		return nil, r.fail()
	}
	message := string(line)
	if r.steps == 1 {
		var ok bool
		message, ok = strings.CutPrefix(message, "AUTH "+r.mechanism+" ")
		Expect(ok).To(BeTrue(), "the client began with %q", line)
	} else if empty, err := r.in.ReadLine(); err != nil || len(empty) > 0 {
		return nil, fmt.Errorf("client-final is followed by %q, %w", empty, err)
	}
	return base64.StdEncoding.DecodeString(message)
}

// fail waits for the end of Dial, and gives its reason.
func (r *remoteClient) fail() error {
	r.failure = <-r.dialled
	if token, ok := errors.AsType[scram.Error](r.failure); ok {
		return fixtures.Reason(token)
	}
	return r.failure
}
