package peers

import (
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	xdg "github.com/xdg-go/scram"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("A login over openssl s_client", Label("peer:openssl", "rfc:9266", "mech:plus"), func() {
	BeforeEach(needOpenSSL)

	DescribeTable("is bound by what OpenSSL exports", func(ctx SpecContext, arguments ...string) {
		h := start(nil)
		s := seated(ctx, h, arguments...)
		Expect(ask(s.text, 250, "ECHO hello")).To(Equal("hello"))
		Expect(ask(s.text, 221, "quit")).To(Equal("bye"))
		Expect(loggedIn(h)).To(Equal([]string{"alice", scram.SHA256Plus, scram.TypeExporter}))
	},
		Entry("as a generic client", limit),
		Entry("as a native one", limit, "-alpn", "sallyport/1"),
		Entry("with another cipher and group", limit, "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256", "-groups", "P-256"),
	)

	It("succeeds with a proof of gsasl", Label("peer:gsasl"), func(ctx SpecContext) {
		h := start(nil)
		g := gsaslClient(ctx, alice, scram.SHA256Plus)
		s := newSClient(ctx, h)
		Expect(s.greet()).To(Succeed())
		g.binding = s.binding().Data
		Expect(saslExchange(s.text, scram.SHA256Plus, g)).To(Succeed())
		Expect(g.Valid()).To(BeTrue())
		Expect(loggedIn(h)).To(Equal([]string{"alice", scram.SHA256Plus, scram.TypeExporter}))
	}, limit)

	It("fails if one bit of the binding differs", Label("control", "promise:3", "battery:9"), func(ctx SpecContext) {
		h := start(nil)
		s := newSClient(ctx, h)
		Expect(s.greet()).To(Succeed())
		binding := s.binding()
		binding.Data[31] ^= 1
		Expect(s.login(binding)).To(answered(535))
		Expect(refusals(h)).To(Equal([]string{"binding-mismatch"}))
	}, limit)

	It("is not bound by an exporter of TLS 1.2", Label("control", "battery:7"), func(ctx SpecContext) {
		h := start(allow12)
		s := newSClient(ctx, h, "-tls1_2")
		Expect(s.greet()).To(Succeed())
		Expect(s.login(s.binding())).To(answered(535))
		Expect(refusals(h)).To(Equal([]string{"binding-type"}))
	}, limit)

	When("the TLS session is resumed", Label("battery:30", "rfc:8446"), func() {
		resume := func(ctx SpecContext) (h *harness.H, s *sClient, earlier xdg.ChannelBinding) {
			GinkgoHelper()
			h = start(nil)
			ticket := filepath.Join(GinkgoT().TempDir(), "session.pem")
			first := seated(ctx, h, "-sess_out", ticket)
			Expect(first.printed.String()).To(ContainSubstring("\nNew, TLSv1.3"))
			Expect(ask(first.text, 221, "quit")).To(Equal("bye"))

			s = newSClient(ctx, h, "-sess_in", ticket)
			Expect(s.greet()).To(Succeed())
			Expect(s.printed.String()).To(ContainSubstring("\nReused, TLSv1.3"))
			Expect(h.Log.Records("tls.handshake")[1]).To(HaveKeyWithValue("resumed", true))
			return h, s, first.binding()
		}
		It("has another exporter, and demands a login", func(ctx SpecContext) {
			_, s, earlier := resume(ctx)
			Expect(s.binding()).NotTo(Equal(earlier))
			Expect(ask(s.text, 530, "ECHO hello")).To(HavePrefix("login-required"))
			Expect(s.login(s.binding())).To(Succeed())
			Expect(ask(s.text, 250, "ECHO hello")).To(Equal("hello"))
		}, limit)
		It("refuses the binding of the earlier connection", Label("control"), func(ctx SpecContext) {
			h, s, earlier := resume(ctx)
			Expect(s.login(earlier)).To(answered(535))
			Expect(h.Log.Records("login.fail")[0].Str("reason")).To(Equal("binding-mismatch"))
		}, limit)
	})

	When("s_client changes its keys in an idle session", Label("rfc:8446"), func() {
		DescribeTable("continues the session", func(ctx SpecContext, letter string, updates ...string) {
			s := seated(ctx, start(nil), "-msg")
			for range 3 {
				s.command(letter)
				for _, update := range updates {
					Expect(s.prints(update)).To(BeTrue(), update)
				}
				Expect(ask(s.text, 250, "ECHO hello")).To(Equal("hello"))
			}
			Expect(strings.Count(s.printed.String(), "KeyUpdate")).To(Equal(3 * len(updates)))
			Expect(ask(s.text, 221, "quit")).To(Equal("bye"))
		},
			Entry("and asks our server to do the same", limit, "K", ">>> TLS 1.3, Handshake [length 0005], KeyUpdate",
				"<<< TLS 1.3, Handshake [length 0005], KeyUpdate"),
			Entry("and doesn't ask our server to", limit, "k", ">>> TLS 1.3, Handshake [length 0005], KeyUpdate"),
		)
	})

	DescribeTable("is cut off if s_client renegotiates on TLS 1.2", Label("control", "battery:29"), func(ctx SpecContext, login bool) {
		h := start(allow12)
		s := newSClient(ctx, h, "-tls1_2")
		Expect(s.greet()).To(Succeed())
		if login {
			binding, err := ownCertificate(nil)
			Expect(err).NotTo(HaveOccurred())
			Expect(s.login(binding)).To(Succeed())
		}
		Expect(ask(s.text, 250, "noop")).To(Equal("ok"))
		s.command("R")
		Expect(s.alert()).To(ContainSubstring("SSL alert number 10\n"))
		Eventually(ctx, func() []testserver.Record { return h.Log.Records("conn.close", "session.close") }).Should(HaveLen(1))
		h.LoggedIn(ctx, "bob")
	},
		Entry("before the login", limit, false),
		Entry("in its session", limit, true),
	)
})
