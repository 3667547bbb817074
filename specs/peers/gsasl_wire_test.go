package peers

import (
	"crypto/tls"
	"net/textproto"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	xdg "github.com/xdg-go/scram"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("Our server, with gsasl at the other end of TLS", Label("peer:gsasl", "rfc:4954"), func() {
	mistaken := alice
	mistaken.password = "wrong"

	// attempt carries gsasl's lines over a connection and, if it was let in, has
	// a text echoed. With from, gsasl is bound to that connection.
	attempt := func(ctx SpecContext, h *harness.H, g *gsasl, mechanism string, from ...*tls.Conn) error {
		GinkgoHelper()
		conn := dial(ctx, h.Addr, h.Roots, 0)
		for _, other := range append([]*tls.Conn{conn}, from...) {
			state := other.ConnectionState()
			binding, err := xdg.NewTLSExporterBinding(&state) // not ours, and not gsasl's
			Expect(err).NotTo(HaveOccurred())
			g.binding = binding.Data
		}
		text := textproto.NewConn(conn)
		if err := saslLogin(text, mechanism, g); err != nil {
			return err
		}
		Expect(g.Valid()).To(BeTrue())
		Expect(ask(text, 250, "ECHO hello")).To(Equal("hello"))
		Expect(ask(text, 221, "QUIT")).To(Equal("bye"))
		return nil
	}

	DescribeTable("seats it", func(ctx SpecContext, mechanism, binding string, arguments ...string) {
		h := start(nil)
		Expect(attempt(ctx, h, gsaslClient(ctx, alice, mechanism, arguments...), mechanism)).To(Succeed())
		Expect(loggedIn(h)).To(Equal([]string{"alice", mechanism, binding}))
	},
		Entry("bound to the TLS 1.3 session", limit, Label("mech:plus", "rfc:9266"), scram.SHA256Plus, scram.TypeExporter),
		Entry("unbound", limit, Label("mech:plain"), scram.SHA256, "", "--no-cb"),
		Entry("with itself as authzid", limit, Label("mech:plus", "battery:12"), scram.SHA256Plus, scram.TypeExporter, "-z", "alice"),
	)

	It("seats it where binding is demanded", Label("mech:plus", "rfc:9266"), func(ctx SpecContext) {
		h := start(func(s *server.Server) { s.RequireBinding = true })
		Expect(attempt(ctx, h, gsaslClient(ctx, alice, scram.SHA256Plus), scram.SHA256Plus)).To(Succeed())
	}, limit)

	DescribeTable("refuses it", Label("control", "promise:2"), func(ctx SpecContext, who account, mechanism, reason string, arguments ...string) {
		h := start(nil)
		Expect(attempt(ctx, h, gsaslClient(ctx, who, mechanism, arguments...), mechanism)).To(answered(535))
		Expect(refusals(h)).To(Equal([]string{reason}))
	},
		Entry("with a wrong password", limit, Label("mech:plus"), mistaken, scram.SHA256Plus, "wrong-proof"),
		Entry("with a wrong password, unbound", limit, Label("mech:plain"), mistaken, scram.SHA256, "wrong-proof", "--no-cb"),
		Entry("with an empty authzid", limit, Label("mech:plus", "battery:12"), alice, scram.SHA256Plus, "malformed", "-z", ""),
		Entry("with another's authzid", limit, Label("mech:plus", "battery:12"), alice, scram.SHA256Plus, "malformed", "-z", "bob"),
	)

	It("refuses it with the binding of another connection", Label("control", "promise:3", "mech:plus", "rfc:9266"),
		func(ctx SpecContext) {
			h := start(nil)
			elsewhere := dial(ctx, h.Addr, h.Roots, 0)
			g := gsaslClient(ctx, alice, scram.SHA256Plus)
			Expect(attempt(ctx, h, g, scram.SHA256Plus, elsewhere)).To(answered(535))
			Expect(refusals(h)).To(Equal([]string{"binding-mismatch"}))
		}, limit)
})

var _ = Describe("Our client, with gsasl at the other end of TLS", Label("peer:gsasl", "rfc:4954"), func() {
	attempt := func(ctx SpecContext, mode client.BindingMode, password string, bind derive) error {
		GinkgoHelper()
		name := scram.SHA256Plus
		if mode == client.BindingNone {
			name = scram.SHA256
		}
		g := gsaslServer(ctx, alice, name)
		s := (&lineServer{scram: func(state tls.ConnectionState, _ string) (conversation, error) {
			binding, err := bind(&state)
			g.binding = binding.Data
			return g, err
		}}).run()
		dialer := client.Dialer{ChannelBinding: mode, TLSConfig: &tls.Config{RootCAs: s.roots}}
		c, err := dialer.Dial(ctx, s.addr, client.Credentials{Username: "alice", Password: password})
		if err != nil {
			return err
		}
		reply, err := c.Do(ctx, harness.Ask("ECHO", "hello"))
		Expect(err).NotTo(HaveOccurred())
		Expect(reply.Text).To(Equal("hello"))
		return c.Quit(ctx)
	}
	bound := derive(xdg.NewTLSExporterBinding)

	It("logs in bound to the TLS 1.3 session", Label("mech:plus", "rfc:9266"), func(ctx SpecContext) {
		Expect(attempt(ctx, client.BindingRequired, alice.password, bound)).To(Succeed())
	}, limit)
	It("logs in unbound", Label("mech:plain"), func(ctx SpecContext) {
		Expect(attempt(ctx, client.BindingNone, alice.password, unbound)).To(Succeed())
	}, limit)

	DescribeTable("takes a refusal for one", Label("control"),
		func(ctx SpecContext, mode client.BindingMode, password string, bind derive) {
			err := attempt(ctx, mode, password, bind)
			Expect(err).To(MatchError(client.ErrLoginFailed))
			Expect(err).NotTo(MatchError(client.ErrServerUnverified))
		},
		Entry("of a wrong password", limit, Label("mech:plus"), client.BindingRequired, "wrong", bound),
		Entry("of a wrong password, unbound", limit, Label("mech:plain"), client.BindingNone, "wrong", derive(unbound)),
		Entry("of the binding of another session", limit, Label("mech:plus", "rfc:9266"), client.BindingRequired, alice.password,
			other(xdg.ChannelBindingTLSExporter)),
	)
})
