package specs

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
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
	"github.com/sallyport/sallyport/scenarios/mallory"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// serverOf starts a server with the user of a vector, and its bindings.
func serverOf(v *fixtures.Vector) *harness.H {
	return start(func(srv *server.Server) {
		srv.Users = usersOf(v)
		if !slices.Contains(v.Login.Bindings, scram.TypeServerEndPoint) {
			srv.TLSConfig.Certificates = []tls.Certificate{testserver.Certificate(testserver.Ed25519)}
		}
		srv.TLSConfig.MinVersion = tls.VersionTLS12
	})
}

// vectorUsers are the user of a vector and, under other names, the users of testserver.
type vectorUsers struct {
	login  fixtures.Login
	user   scram.Verifier
	mock   *scram.Mock
	others *testserver.Users
}

func usersOf(v *fixtures.Vector) vectorUsers {
	stored, err := v.Verifier()
	Expect(err).NotTo(HaveOccurred())
	user, err := scram.ParseVerifier(stored)
	Expect(err).NotTo(HaveOccurred())
	return vectorUsers{v.Login, user, scram.NewMock([]byte(fixtures.MockSecret), []scram.Verifier{user}), testserver.NewUsers()}
}

func (u vectorUsers) Lookup(name string) (scram.Verifier, bool, error) {
	v, known := u.find(name)
	return v, known, nil
}

func (u vectorUsers) find(name string) (scram.Verifier, bool) {
	v, known, _ := u.others.Lookup(name)
	switch {
	case name == u.login.Name && u.login.Known:
		return u.user, true
	case known && name != u.login.Name:
		return v, true
	}
	return u.mock.Verifier(name), false
}

// testServer plays a vector against a server, and then logs an honest client in.
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
	if in := h.Log.Records("login.ok"); v.Found.Stage == fixtures.Done {
		Expect(in[0].Str("user")).To(Equal(v.Login.Name))
	} else {
		Expect(in).To(BeEmpty())
	}
	_, err := end.Line()
	Expect(err).To(MatchError(io.EOF))
	Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed(), "an honest client's login")
}

// remoteServer is the server as the peer of a vector.
type remoteServer struct {
	*testserver.Conn
	h         *harness.H
	mechanism string
	begun     bool
	// long reports that a message was too long for a line.
	long bool
	// refusal is the reply in place of a challenge.
	refusal string
}

// dialServer connects with the version of TLS that offers the vector's bindings.
func dialServer(ctx context.Context, h *harness.H, v *fixtures.Vector) *remoteServer {
	config := &tls.Config{RootCAs: h.Roots, NextProtos: []string{protocol.ALPN}}
	if !slices.Contains(v.Login.Bindings, scram.TypeExporter) {
		config.MaxVersion = tls.VersionTLS12
	}
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", h.Addr)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	conn, err := testserver.ClientConn(ctx, raw, config)
	Expect(err).NotTo(HaveOccurred())
	Expect(conn.Line()).To(HavePrefix("220 "))
	return &remoteServer{Conn: conn, h: h, mechanism: v.Login.ServerMechanism}
}

// ask sends a line and returns the next one, or the error that ends the connection.
func (r *remoteServer) ask(line string) string {
	Expect(r.Send(line)).To(Succeed())
	answer, err := r.Line()
	if err != nil {
		return err.Error()
	}
	return answer
}

func (r *remoteServer) bindings() map[string][]byte {
	return mallory.Bindings(r.Conn.Conn, r.ConnectionState().PeerCertificates[0])
}

// Next sends a message and reads the challenge. The reason of a failed login is in the log by then.
func (r *remoteServer) Next(_ context.Context, message []byte) ([]byte, error) {
	line := base64.StdEncoding.EncodeToString(message)
	if !r.begun {
		line = protocol.VerbAuth + " " + r.mechanism + " " + cmp.Or(line, "=")
	}
	r.begun, r.long = true, len(line)+2 > protocol.MaxLine
	answer := r.ask(line)
	if challenge, ok := strings.CutPrefix(answer, "334 "); ok {
		return base64.StdEncoding.DecodeString(challenge)
	}
	r.refusal = answer
	if failed := r.h.Log.Records("login.fail"); len(failed) > 0 {
		return nil, fixtures.Reason(failed[0].Str("reason"))
	}
	return nil, fixtures.Reason(strings.Fields(answer)[1])
}

// testClient plays a vector against a client. A client that finds a fault sends nothing more.
func testClient(ctx SpecContext, v *fixtures.Vector) {
	GinkgoHelper()
	if v.Login.Flag == "y" {
		Skip("the Dialer never says that it could have bound the login")
	}
	end := acceptClient(ctx, v)
	outcome, want := play(ctx, v, end, nil, end.bindings(), "carrier"), v.Found
	switch {
	case v.Found.Stage == fixtures.Done:
		Expect(end.failure).NotTo(HaveOccurred())
	case end.ended: // it has no SCRAM message to judge
		Expect(end.failure).To(HaveOccurred())
		want.Reason = ""
	case end.long: // it does not come as far as SCRAM
		Expect(end.failure).To(MatchError(client.ErrProtocol))
		want.Reason = ""
	default:
		Expect(end.failure).To(MatchError(client.ErrServerUnverified))
		Expect(end.failure).To(MatchError(scram.Error(v.Found.Reason)))
	}
	Expect(outcome).To(Equal(want))
	Expect(io.ReadAll(end.In)).To(BeEmpty(), "what the client sent in the end")
}

// testBoth plays a vector between a client and a server. If either finds a fault the client has not logged in.
func testBoth(ctx SpecContext, v *fixtures.Vector) {
	GinkgoHelper()
	server := dialServer(ctx, serverOf(v), v)
	client := acceptClient(ctx, v)
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
	*testserver.Conn
	mechanism string
	steps     int
	long      bool // as of remoteServer
	ended     bool // the message was a success or a failure of the protocol
	dialled   chan error
	failure   error // the error of Dial, nil before its end
}

// acceptClient lets a Dialer connect to Mallory's server, whose certificate it trusts.
func acceptClient(ctx context.Context, v *fixtures.Vector) *remoteClient {
	pair := testserver.Certificate(testserver.ECDSA)
	dialer := &client.Dialer{TLSConfig: &tls.Config{RootCAs: testserver.Pool(pair)}}
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
	r := &remoteClient{mechanism: v.Login.Mechanism, dialled: make(chan error, 1)}
	go func() {
		c, err := dialer.Dial(ctx, l.Addr().String(), client.Credentials{
			Username: v.Login.User, Password: v.Login.Password, Authzid: v.Login.Authzid,
		})
		if err == nil {
			err = c.Close()
		}
		r.dialled <- err
	}()
	raw, err := l.Accept()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	r.Conn, err = testserver.ServerConn(ctx, raw, config)
	Expect(err).NotTo(HaveOccurred())
	return r
}

func (r *remoteClient) bindings() map[string][]byte {
	return mallory.Bindings(r.Conn.Conn, testserver.Certificate(testserver.ECDSA).Leaf)
}

// Next sends a challenge, and the 235 after the last one, and reads the next line. If there is no line, Dial has
// failed.
func (r *remoteClient) Next(_ context.Context, message []byte) ([]byte, error) {
	r.steps++
	reply := "334 " + base64.StdEncoding.EncodeToString(message)
	r.long = len(reply)+2 > protocol.MaxLine
	switch r.steps {
	case 1:
		reply = "220 mallory sallyport/1 ready"
	case 3:
		reply += "\r\n235 welcome"
	}
	if words, ends := map[string]string{fixtures.Success: "235 welcome", fixtures.Failure: "535 login-failed"}[string(message)]; ends {
		reply, r.ended = words, true
	}
	_, _ = io.WriteString(r, reply+"\r\n") // a client that hangs up is no fault
	line, err := "", io.EOF
	if r.steps < 3 {
		line, err = r.Line()
	}
	if err != nil {
		r.failure = <-r.dialled
		if token, ok := errors.AsType[scram.Error](r.failure); ok {
			return nil, fixtures.Reason(token)
		}
		return nil, r.failure
	}
	if first, ok := strings.CutPrefix(line, "AUTH "+r.mechanism+" "); ok == (r.steps == 1) {
		line = cmp.Or(first, line)
	}
	if r.steps == 2 { // the empty line goes out with client-final
		Expect(r.Line()).To(BeEmpty())
	}
	return base64.StdEncoding.DecodeString(line)
}
