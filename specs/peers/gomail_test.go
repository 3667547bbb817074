package peers

import (
	"crypto/tls"
	"net"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// echo sends ECHO through the connection that go-mail exposes for extensions.
func echo(c *smtp.Client, text string) (string, error) { return ask(c.Text, 250, "ECHO "+text) }

var _ = Describe("go-mail's SMTP client", Label("peer:go-mail", "rfc:4954", "rfc:5802"), func() {
	connect := func(ctx SpecContext, h *harness.H, maxVersion uint16) (*smtp.Client, *tls.ConnectionState) {
		GinkgoHelper()
		c, err := smtp.NewClient(dial(ctx, h.Addr, h.Roots, maxVersion), "127.0.0.1")
		Expect(err).NotTo(HaveOccurred())
		state, err := c.GetTLSConnectionState()
		Expect(err).NotTo(HaveOccurred())
		return c, state
	}
	// automatic connects with go-mail's own client, which chooses the mechanism.
	automatic := func(ctx SpecContext, h *harness.H, password string) (*smtp.Client, error) {
		host, port, err := net.SplitHostPort(h.Addr)
		Expect(err).NotTo(HaveOccurred())
		number, err := strconv.Atoi(port)
		Expect(err).NotTo(HaveOccurred())
		c, err := mail.NewClient(host, mail.WithPort(number), mail.WithSSL(), mail.WithHELO("localhost"),
			mail.WithTLSConfig(&tls.Config{RootCAs: h.Roots, ServerName: host}),
			mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername("alice"), mail.WithPassword(password))
		Expect(err).NotTo(HaveOccurred())
		return c.DialToSMTPClientWithContext(ctx)
	}

	It("logs in with SCRAM-SHA-256-PLUS and gets its text back", Label("mech:plus", "rfc:9266"), func(ctx SpecContext) {
		h := start(nil)
		c, state := connect(ctx, h, 0)
		Expect(c.Hello("localhost")).To(Succeed())
		_, offered := c.Extension("AUTH")
		Expect(offered).To(Equal("SCRAM-SHA-256-PLUS SCRAM-SHA-256"))
		Expect(c.Auth(smtp.ScramSHA256PlusAuth("alice", testserver.Password("alice"), state))).To(Succeed())
		Expect(echo(c, "hello")).To(Equal("hello"))
		Expect(c.Noop()).To(Succeed())
		Expect(c.Quit()).To(Succeed())
		Expect(loggedIn(h)).To(Equal([]string{"alice", scram.SHA256Plus, scram.TypeExporter}))
	}, limit)

	DescribeTable("logs in with SCRAM-SHA-256", Label("mech:plain"), func(ctx SpecContext, maxVersion uint16) {
		h := start(allow12)
		c, _ := connect(ctx, h, maxVersion)
		Expect(c.Auth(smtp.ScramSHA256Auth("alice", testserver.Password("alice")))).To(Succeed())
		Expect(echo(c, "hello")).To(Equal("hello"))
		Expect(c.Quit()).To(Succeed())
		Expect(loggedIn(h)).To(Equal([]string{"alice", scram.SHA256, ""}))
	},
		Entry("on TLS 1.3", limit, uint16(tls.VersionTLS13)),
		Entry("on TLS 1.2", limit, uint16(tls.VersionTLS12)),
	)

	It("chooses a bound login by itself", Label("mech:plus"), func(ctx SpecContext) {
		h := start(func(s *server.Server) { s.RequireBinding = true })
		c, err := automatic(ctx, h, testserver.Password("alice"))
		Expect(err).NotTo(HaveOccurred())
		Expect(echo(c, "hello")).To(Equal("hello"))
		Expect(c.Quit()).To(Succeed())
		Expect(loggedIn(h)).To(Equal([]string{"alice", scram.SHA256Plus, scram.TypeExporter}))
	}, limit)

	It("waits for the seat", Label("mech:plus", "area:admission"), func(ctx SpecContext) {
		h := start(nil)
		bob := h.LoggedIn(ctx, "bob")
		c, state := connect(ctx, h, 0)
		done := make(chan error, 1)
		go func() { done <- c.Auth(smtp.ScramSHA256PlusAuth("alice", testserver.Password("alice"), state)) }()
		Eventually(ctx, func() []testserver.Record { return h.Log.Records("queue.enter") }).Should(HaveLen(1))
		Expect(done).NotTo(Receive(), "bob has the seat")
		Expect(bob.Quit(ctx)).To(Succeed())
		Eventually(ctx, done).Should(Receive(BeNil()))
		Expect(echo(c, "hello")).To(Equal("hello"))
		Expect(c.Quit()).To(Succeed())
	}, limit)

	DescribeTable("is refused", Label("control"),
		func(ctx SpecContext, maxVersion uint16, auth func(*tls.ConnectionState) smtp.Auth, reason string) {
			h := start(allow12)
			c, state := connect(ctx, h, maxVersion)
			Expect(c.Auth(auth(state))).To(answered(535))
			Expect(refusals(h)).To(Equal([]string{reason}))
		},
		Entry("with a wrong password", limit, Label("mech:plus"), uint16(0), func(state *tls.ConnectionState) smtp.Auth {
			return smtp.ScramSHA256PlusAuth("alice", "wrong", state)
		}, "wrong-proof"),
		Entry("with a wrong password and without binding", limit, Label("mech:plain"), uint16(0), func(*tls.ConnectionState) smtp.Auth {
			return smtp.ScramSHA256Auth("alice", "wrong")
		}, "wrong-proof"),
		// go-mail has only tls-unique there, which RFC 9266 §5 warns of.
		Entry("with a binding on TLS 1.2", limit, Label("mech:plus"), uint16(tls.VersionTLS12), func(state *tls.ConnectionState) smtp.Auth {
			return smtp.ScramSHA256PlusAuth("alice", testserver.Password("alice"), state)
		}, "binding-type"),
	)

	It("is refused with the binding of another connection", Label("control", "mech:plus", "rfc:9266"), func(ctx SpecContext) {
		h := start(nil)
		_, elsewhere := connect(ctx, h, 0)
		c, _ := connect(ctx, h, 0)
		Expect(c.Auth(smtp.ScramSHA256PlusAuth("alice", testserver.Password("alice"), elsewhere))).To(answered(535))
		Expect(refusals(h)).To(Equal([]string{"binding-mismatch"}))
	}, limit)

	It("refuses a server that doesn't know the password", Label("control", "mech:plus"), func(ctx SpecContext) {
		h := start(nil)
		h.Users.Set("alice", forged())
		c, state := connect(ctx, h, 0)
		Expect(c.Auth(smtp.ScramSHA256PlusAuth("alice", alice.password, state))).To(MatchError(ContainSubstring("server signature")))
		Expect(refusals(h)).To(Equal([]string{"cancelled"}))
	}, limit)
})
