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
	"github.com/sallyport/sallyport/scenarios/mallory"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("A login over TLS", Label("area:login"), func() {
	When("Mallory plays the client", func() {
		declare(func(s *mallory.Script) bool {
			return s.Victim != "client" && slices.Contains(s.Ways(), mallory.ServerAlone)
		}, func(ctx SpecContext, all []*mallory.Script) {
			h := serverOf(all[0])
			for _, s := range all {
				rogueClient(ctx, h, s)
			}
			Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed(), "an honest client's login")
		})
	})

	When("Mallory plays the server", func() {
		declare(func(s *mallory.Script) bool {
			// The Dialer never says that it could have bound the login.
			return s.Victim != "server" && slices.Contains(s.Ways(), mallory.ClientAlone) && s.Setting.Flag == "n"
		}, func(ctx SpecContext, all []*mallory.Script) {
			for _, s := range all {
				rogueServer(ctx, s)
			}
		})
	})
})

// serverOf has the user of a script, and the bindings.
func serverOf(s *mallory.Script) *harness.H {
	return start(func(srv *server.Server) {
		srv.Users = scriptUsers{s, harness.NewUsers()}
		if !slices.Contains(s.Setting.Bindings, scram.TypeServerEndPoint) {
			srv.TLSConfig.Certificates = []tls.Certificate{harness.Certificate(harness.Ed25519)}
		}
		srv.TLSConfig.MinVersion = tls.VersionTLS12
	})
}

// rogueClient replays a script against a server.
func rogueClient(ctx SpecContext, h *harness.H, s *mallory.Script) {
	GinkgoHelper()
	end := dialServer(ctx, h, s)
	outcome, err := s.Replay(ctx, nil, end, end.bindings())
	Expect(err).NotTo(HaveOccurred())
	want := mallory.Outcome{Victim: s.Victim, Stage: s.Stage, Reason: s.Reason}
	switch {
	case end.long: // it does not come as far as SCRAM
		want.Reason = "line-too-long"
		Expect(end.refusal).To(HavePrefix("500 line-too-long "))
	case s.Setting.ServerMechanism == scram.SHA256Plus && len(s.Setting.Bindings) == 0:
		want.Reason = "mechanism"
		Expect(end.refusal).To(HavePrefix("504 mechanism "))
		Expect(end.ask("QUIT")).To(Equal("221 bye"))
	case s.Stage != fixtures.Done:
		Expect(end.refusal).To(Equal("535 login-failed authentication failed"))
	default:
		Expect(end.ask("")).To(HavePrefix("235 "))
		Expect(end.ask("WHOAMI")).To(Equal("250 " + s.Setting.Name))
		Expect(end.ask("QUIT")).To(Equal("221 bye"))
	}
	Expect(outcome).To(Equal(want), s.Name)
	var names []string
	for _, record := range h.Log.Records("login.ok") {
		names = append(names, record.Str("user"))
	}
	if s.Stage == fixtures.Done {
		Expect(names).To(Equal([]string{s.Setting.Name}))
	} else {
		Expect(names).To(BeEmpty())
	}
	Expect(end.line()).To(Equal("EOF"))
}

// scriptUsers are the user of a script and, under other names, the cast.
type scriptUsers struct {
	script *mallory.Script
	cast   *harness.Users
}

func (u scriptUsers) Lookup(name string) (scram.Verifier, bool) {
	if v, known := u.cast.Lookup(name); known && name != u.script.Setting.Name {
		return v, true
	}
	return u.script.Lookup(name)
}

// remoteServer is the server as an end of a script.
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

// dialServer connects with the version of TLS that offers the script's bindings.
func dialServer(ctx context.Context, h *harness.H, s *mallory.Script) *remoteServer {
	config := &tls.Config{RootCAs: h.Roots, NextProtos: []string{protocol.ALPN}, MinVersion: tls.VersionTLS12}
	if !slices.Contains(s.Setting.Bindings, scram.TypeExporter) {
		config.MaxVersion = tls.VersionTLS12
	}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", h.Addr)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(conn.Close)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	end := &remoteServer{Conn: conn.(*tls.Conn), h: h, in: protocol.NewReader(conn), mechanism: s.Setting.ServerMechanism}
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
		return nil, errors.New(failures[r.failures-1].Str("reason"))
	}
	return nil, errors.New(strings.Fields(answer)[1])
}

// rogueServer replays a script against a client. One that finds a fault says
// nothing more, and never a request.
func rogueServer(ctx SpecContext, s *mallory.Script) {
	end := acceptClient(ctx, s, &client.Dialer{})
	outcome, err := s.Replay(ctx, end, nil, end.bindings())
	Expect(err).NotTo(HaveOccurred())
	want := mallory.Outcome{Victim: s.Victim, Stage: s.Stage, Reason: s.Reason}
	switch {
	case s.Stage == fixtures.Done:
		Expect(end.failure).NotTo(HaveOccurred())
	case end.long: // it does not come as far as SCRAM
		Expect(end.failure).To(MatchError(client.ErrProtocol))
		want.Reason = end.failure.Error()
	default:
		Expect(end.failure).To(MatchError(client.ErrServerUnverified))
		Expect(end.failure).To(MatchError(scram.Error(s.Reason)))
	}
	Expect(outcome).To(Equal(want), s.Name)
	Expect(io.ReadAll(end.in)).To(BeEmpty(), "what the client said in the end")
}

// remoteClient is a Dialer as an end of a script.
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
func acceptClient(ctx context.Context, s *mallory.Script, dialer *client.Dialer) *remoteClient {
	pair, roots := harness.Certificate(harness.ECDSA), x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	dialer.TLSConfig = &tls.Config{RootCAs: roots}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol.ALPN}}
	if s.Setting.Mechanism == scram.SHA256 {
		dialer.ChannelBinding = client.BindingNone
	}
	if s.Setting.Binding == scram.TypeServerEndPoint {
		dialer.TLSConfig.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer l.Close()
	end := &remoteClient{mechanism: s.Setting.Mechanism, dialled: make(chan error, 1)}
	go func() {
		defer GinkgoRecover()
		defer close(end.dialled)
		who := client.Credentials{Username: s.Setting.User, Password: s.Setting.Password, Authzid: s.Setting.Authzid}
		c, err := dialer.Dial(ctx, l.Addr().String(), who)
		if err == nil {
			err = c.Close()
		}
		end.dialled <- err
	}()
	raw, err := l.Accept()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(raw.Close)
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
	endPoint := sha256.Sum256(harness.Certificate(harness.ECDSA).Leaf.Raw)
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
		r.failure = <-r.dialled
		return nil, r.failure
	}
	line, err := r.in.ReadLine()
	if err != nil {
		r.failure = <-r.dialled
		return nil, r.failure
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
