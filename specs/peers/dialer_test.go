package peers

import (
	"crypto/tls"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	xdg "github.com/xdg-go/scram"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("Our client, with xdg-go/scram at the other end of TLS", Label("peer:xdg", "rfc:4954"), func() {
	bound := client.Dialer{}
	unbound := client.Dialer{ChannelBinding: client.BindingNone}
	old := client.Dialer{TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12}}

	// attempt logs in and, if that worked, has a text echoed.
	attempt := func(ctx SpecContext, s *lineServer, dialer client.Dialer, who account) error {
		config := &tls.Config{}
		if dialer.TLSConfig != nil {
			config = dialer.TLSConfig.Clone()
		}
		config.RootCAs = s.roots
		dialer.TLSConfig = config
		c, err := dialer.Dial(ctx, s.addr, client.Credentials{Username: who.name, Password: who.password})
		if err != nil {
			return err
		}
		reply, err := c.Do(ctx, harness.Ask("ECHO", "hello"))
		Expect(err).NotTo(HaveOccurred())
		Expect(reply.Text).To(Equal("hello"))
		return c.Quit(ctx)
	}

	DescribeTable("logs in", func(ctx SpecContext, dialer client.Dialer, bind derive) {
		s := (&lineServer{who: alice, stored: toXdg(alice.verifier()), bind: bind}).run()
		Expect(attempt(ctx, s, dialer, alice)).To(Succeed())
	},
		Entry("bound to the TLS 1.3 session", limit, Label("mech:plus", "rfc:9266"), bound, derive(xdg.NewTLSExporterBinding)),
		Entry("bound to the certificate, on TLS 1.2", limit, Label("mech:plus", "rfc:5929"), old, derive(ownCertificate)),
		Entry("unbound", limit, Label("mech:plain"), unbound, derive(nil)),
	)

	for title, who := range accounts {
		It("logs in with "+title, Label("mech:plus"), func(ctx SpecContext) {
			s := (&lineServer{who: who, stored: toXdg(who.verifier()), bind: xdg.NewTLSExporterBinding}).run()
			Expect(attempt(ctx, s, bound, who)).To(Succeed())
		}, limit)
	}

	DescribeTable("takes a refusal for one", Label("control"), func(ctx SpecContext, dialer client.Dialer, password string, bind derive) {
		s := (&lineServer{who: alice, stored: alice.xdgCredentials(), bind: bind}).run()
		who := alice
		who.password = password
		err := attempt(ctx, s, dialer, who)
		Expect(err).To(MatchError(client.ErrLoginFailed))
		Expect(err).NotTo(MatchError(client.ErrServerUnverified))
	},
		Entry("of a wrong password", limit, Label("mech:plus"), bound, "wrong", derive(xdg.NewTLSExporterBinding)),
		Entry("of a wrong password without binding", limit, Label("mech:plain"), unbound, "wrong", derive(nil)),
		Entry("of the binding of another session", limit, Label("mech:plus", "rfc:9266"), bound, alice.password,
			other(xdg.ChannelBindingTLSExporter)),
		Entry("of the binding to another certificate", limit, Label("mech:plus", "rfc:5929"), old, alice.password,
			other(xdg.ChannelBindingTLSServerEndpoint)),
	)

	It("believes no 235 before a proof", Label("control"), func(ctx SpecContext) {
		s := (&lineServer{who: alice, hasty: true}).run()
		Expect(attempt(ctx, s, bound, alice)).To(MatchError(client.ErrServerUnverified))
		Expect(attempt(ctx, s, unbound, alice)).To(MatchError(client.ErrServerUnverified))
	}, limit)

	It("takes an e= of SCRAM for no proof of the server", Label("control"), func(ctx SpecContext) {
		s := (&lineServer{who: alice, stored: alice.xdgCredentials(), bind: xdg.NewTLSExporterBinding, tells: true}).run()
		who := alice
		who.password = "wrong"
		err := attempt(ctx, s, bound, who)
		Expect(err).To(MatchError(client.ErrServerUnverified))
		Expect(err).To(MatchError(scram.ErrServerError))
	}, limit)

	DescribeTable("refuses a server", Label("control"), func(ctx SpecContext, dialer client.Dialer, forge func(*lineServer), want error) {
		s := &lineServer{who: alice, stored: alice.xdgCredentials(), bind: xdg.NewTLSExporterBinding}
		forge(s)
		err := attempt(ctx, s.run(), dialer, alice)
		Expect(err).To(MatchError(client.ErrServerUnverified))
		Expect(err).To(MatchError(want))
	},
		Entry("that doesn't know the password", limit, Label("mech:plus"), bound, forgeServerKey, scram.ErrServerUnverified),
		Entry("that doesn't know the password, unbound", limit, Label("mech:plain"), unbound, forgeServerKey, scram.ErrServerUnverified),
		Entry("that asks for too few iterations", limit, Label("rfc:7677"), bound, func(s *lineServer) {
			s.who.iterations = 1000
			s.stored = s.who.xdgCredentials()
		}, scram.ErrIterations),
		Entry("that asks for more iterations than allowed", limit, client.Dialer{MaxIterations: scram.MinIterations},
			func(s *lineServer) {
				s.who.iterations = scram.MinIterations + 1
				s.stored = s.who.xdgCredentials()
			}, scram.ErrIterations),
	)
})

// forgeServerKey leaves everything right but the server's own proof.
func forgeServerKey(s *lineServer) { s.stored.ServerKey = octets("forged") }
