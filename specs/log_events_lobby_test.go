package specs

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"net"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// dial connects and does no more.
func dial(ctx context.Context, h *harness.H) net.Conn {
	GinkgoHelper()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", h.Addr)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = c.Close() })
	return c
}

// shakeHands connects twice; the second time resumes the first session.
func shakeHands(ctx context.Context, h *harness.H, config *tls.Config) {
	GinkgoHelper()
	config.RootCAs, config.ServerName, config.ClientSessionCache = h.Roots, "localhost", tls.NewLRUClientSessionCache(1)
	for range 2 {
		c := tls.Client(dial(ctx, h), config)
		Expect(hear(c, 4)).To(Equal("220 "))
		Expect(c.Close()).To(Succeed())
	}
}

func handshake(version, cipher, curve string, resumed bool, alpn string) harness.Line {
	return on("info", "tls.handshake", "version", version, "cipher", cipher, "curve", curve, "resumed", resumed, "alpn", alpn)
}

func refused(limits server.Limits) func(SpecContext) *harness.Log {
	return serving(func(s *server.Server) { s.Limits = limits }, func(ctx SpecContext, h *harness.H) {
		dial(ctx, h)
		Eventually(ctx, func() []string { return h.Log.Events("") }).Should(ContainElement("conn.accept"))
		dial(ctx, h)
	})
}

var connectionEvents = []recorded{
	{
		"conn.accept", "for each connection", serving(nil, func(ctx SpecContext, h *harness.H) { dial(ctx, h) }),
		[]harness.Line{on("info", "conn.accept", "remote", harness.AnyAddress)},
	},
	{
		"conn.refuse", "when the lobby is full", refused(server.Limits{Lobby: 1}),
		[]harness.Line{on("warn", "conn.refuse", "remote", harness.AnyAddress, "reason", "lobby-full")},
	},
	{
		"conn.refuse", "when one source has its share", refused(server.Limits{LobbyPerSource: 1}),
		[]harness.Line{on("warn", "conn.refuse", "remote", harness.AnyAddress, "reason", "source-full")},
	},
	{
		"conn.close", "where there was no session", serving(nil, func(ctx SpecContext, h *harness.H) {
			Expect(h.Wire(ctx, true).Greeted().Ask("QUIT")).To(HavePrefix("221 "))
		}),
		[]harness.Line{on("info", "conn.close", "reason", "quit")},
	},
	{
		"tls.handshake", "of a native client, and of it again", serving(nil, func(ctx SpecContext, h *harness.H) {
			shakeHands(ctx, h, &tls.Config{NextProtos: []string{protocol.ALPN}})
		}),
		[]harness.Line{
			handshake("TLS 1.3", harness.AnyCipher, "X25519MLKEM768", false, protocol.ALPN),
			handshake("TLS 1.3", harness.AnyCipher, "X25519MLKEM768", true, protocol.ALPN),
		},
	},
	{
		"tls.handshake", "of a generic client with TLS 1.2, and of it again",
		serving(func(s *server.Server) { s.TLSConfig.MinVersion = tls.VersionTLS12 }, func(ctx SpecContext, h *harness.H) {
			shakeHands(ctx, h, &tls.Config{
				MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.X25519},
				CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
			})
		}),
		[]harness.Line{
			handshake("TLS 1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "X25519", false, ""),
			handshake("TLS 1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "X25519", true, ""),
		},
	},
	{
		"tls.fail", "where the client speaks no TLS", serving(nil, func(ctx SpecContext, h *harness.H) { say(dial(ctx, h), "GET / HTTP/1.1\r\n\r\n") }),
		[]harness.Line{on("warn", "tls.fail", "error", "tls: first record does not look like a TLS handshake")},
	},
}

// attempt is a login with SCRAM, up to the answer to client-final.
func attempt(ctx context.Context, h *harness.H, cfg scram.ClientConfig) {
	GinkgoHelper()
	w := h.Wire(ctx, true).Greeted()
	login, err := testserver.NewLogin(w.Conn.Conn, cfg)
	Expect(err).NotTo(HaveOccurred())
	auth, err := login.Auth()
	Expect(err).NotTo(HaveOccurred())
	answer := w.Ask(auth)
	if !strings.HasPrefix(answer, "334 ") {
		return // it is over already
	}
	final, err := login.Final(ctx, answer)
	Expect(err).NotTo(HaveOccurred())
	w.Ask(final)
}

// failing is the log of a server where a login with SCRAM has failed.
func failing(cfg scram.ClientConfig) func(SpecContext) *harness.Log {
	return serving(func(s *server.Server) { s.NameKey = []byte("key") }, func(ctx SpecContext, h *harness.H) {
		h.Secrets = append(h.Secrets, "a wrong guess", "no name but a password")
		attempt(ctx, h, cfg)
	})
}

// sending is the log of a server to which a client that has not logged in has
// sent lines.
func sending(lines ...string) func(SpecContext) *harness.Log {
	return serving(nil, func(ctx SpecContext, h *harness.H) {
		w := h.Wire(ctx, true).Greeted()
		for _, line := range lines {
			w.Ask(line)
		}
	})
}

// auth is AUTH with a client-first message.
func auth(mechanism, first string) string {
	return "AUTH " + mechanism + " " + base64.StdEncoding.EncodeToString([]byte(first))
}

func loginFail(user, mechanism, reason string) []harness.Line {
	return []harness.Line{on("warn", "login.fail", "user", user, "mechanism", mechanism, "reason", reason)}
}

// hashed is the name of an unknown user as the log has it.
func hashed(name string) string {
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte(name))
	return "#" + hex.EncodeToString(mac.Sum(nil))[:12]
}

var foreign = scram.ChannelBinding{Type: scram.TypeExporter, Data: make([]byte, 32)}

var loginEvents = []recorded{
	{
		"login.ok", "bound to the connection", serving(nil, func(ctx SpecContext, h *harness.H) { h.LoggedIn(ctx, "alice") }),
		[]harness.Line{on("info", "login.ok", "user", "alice", "mechanism", scram.SHA256Plus, "binding", scram.TypeExporter)},
	},
	{
		"login.ok", "not bound to it", serving(nil, func(ctx SpecContext, h *harness.H) {
			dialer := h.Dialer()
			dialer.ChannelBinding = client.BindingNone
			alice, err := dialer.Dial(ctx, h.Addr, harness.Credentials("alice"))
			Expect(err).NotTo(HaveOccurred())
			Expect(alice.Quit(ctx)).To(Succeed())
		}),
		[]harness.Line{on("info", "login.ok", "user", "alice", "mechanism", scram.SHA256, "binding", "")},
	},
	{
		"login.fail", "unknown-user", failing(scram.ClientConfig{Username: "no name but a password", Password: "a wrong guess", Mechanism: scram.SHA256}),
		loginFail(hashed("no name but a password"), scram.SHA256, "unknown-user"),
	},
	{
		"login.fail", "wrong-proof", failing(scram.ClientConfig{Username: "alice", Password: "a wrong guess", Mechanism: scram.SHA256}),
		loginFail("alice", scram.SHA256, "wrong-proof"),
	},
	{
		"login.fail", "binding-mismatch", failing(scram.ClientConfig{Username: "alice", Password: harness.Password("alice"), Mechanism: scram.SHA256Plus, Binding: foreign}),
		loginFail("alice", scram.SHA256Plus, "binding-mismatch"),
	},
	{
		"login.fail", "binding-downgrade", failing(scram.ClientConfig{Username: "alice", Password: harness.Password("alice"), Mechanism: scram.SHA256, ServerLacksPlus: true}),
		loginFail("alice", scram.SHA256, "binding-downgrade"),
	},
	{
		"login.fail", "binding-type", sending(auth(scram.SHA256Plus, "p=tls-unique,,n=alice,r=nonce")),
		loginFail("alice", scram.SHA256Plus, "binding-type"),
	},
	{
		"login.fail", "nonce", sending(auth(scram.SHA256, "n,,n=alice,r=nonce"), base64.StdEncoding.EncodeToString([]byte("c=biws,r=nonce,p="+base64.StdEncoding.EncodeToString(make([]byte, 32))))),
		loginFail("alice", scram.SHA256, "nonce"),
	},
	{
		"login.fail", "malformed", sending(auth(scram.SHA256, "rubbish")),
		loginFail("", scram.SHA256, "malformed"),
	},
	{
		"login.fail", "cancelled", sending(auth(scram.SHA256, "n,,n=alice,r=nonce"), "*"),
		loginFail("alice", scram.SHA256, "cancelled"),
	},
	{
		"login.fail", "timeout", serving(func(s *server.Server) { s.Limits.Login = 500 * time.Millisecond }, func(ctx SpecContext, h *harness.H) {
			h.Wire(ctx, true).Greeted().Ask(auth(scram.SHA256, "n,,n=alice,r=nonce"))
		}),
		loginFail("alice", scram.SHA256, "timeout"),
	},
	{
		"login.fail", "throttled", func(ctx SpecContext) *harness.Log {
			h := start(func(s *server.Server) { s.Limits.FailedLogins = 1 })
			for { // one of them is forgiven each second
				attempt(ctx, h, scram.ClientConfig{Username: "alice", Password: "a wrong guess", Mechanism: scram.SHA256})
				for line := range strings.Lines(h.Log.String()) {
					if strings.Contains(line, "throttled") {
						return logged(line)
					}
				}
			}
		},
		loginFail("", scram.SHA256, "throttled"),
	},
}
