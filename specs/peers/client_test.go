package peers

import (
	"context"
	"crypto/tls"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	xdg "github.com/xdg-go/scram"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("Our client, with another SCRAM at the other end of TLS", Label("rfc:4954"), func() {
	isXdg, isGsasl := Label("peer:xdg"), Label("peer:gsasl")
	exporter := derive(xdg.NewTLSExporterBinding)
	bound := client.Dialer{}
	unbound := client.Dialer{ChannelBinding: client.BindingNone}
	tls12 := client.Dialer{TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12}}

	// attempt logs in and then has a text echoed.
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

	xdgLines := func(_ context.Context, bind derive) *lineServer {
		return &lineServer{who: alice, stored: toXdg(alice.verifier()), bind: bind}
	}
	gsaslLines := func(ctx context.Context, bind derive) *lineServer {
		harness.Tool("gsasl")
		return &lineServer{bind: bind, scram: func(b scram.ChannelBinding) conversation {
			defer GinkgoRecover()
			return gsaslProgram.server(ctx, alice, b)
		}}
	}

	DescribeTable("logs in",
		func(ctx SpecContext, lines func(context.Context, derive) *lineServer, dialer client.Dialer, bind derive) {
			Expect(attempt(ctx, lines(ctx, bind).run(), dialer, alice)).To(Succeed())
		},
		Entry("bound to the TLS 1.3 session", limit, isXdg, Label("mech:plus", "rfc:9266"), xdgLines, bound, exporter),
		Entry("bound to the certificate, on TLS 1.2", limit, isXdg, Label("mech:plus", "rfc:5929"), xdgLines, tls12, derive(ownCertificate)),
		Entry("unbound", limit, isXdg, Label("mech:plain"), xdgLines, unbound, derive(nil)),
		Entry("bound to the TLS 1.3 session", limit, isGsasl, Label("mech:plus", "rfc:9266"), gsaslLines, bound, exporter),
		Entry("unbound", limit, isGsasl, Label("mech:plain"), gsaslLines, unbound, derive(nil)),
	)

	DescribeTable("reports a refusal", Label("control"),
		func(ctx SpecContext, lines func(context.Context, derive) *lineServer, dialer client.Dialer, who account, bind derive) {
			err := attempt(ctx, lines(ctx, bind).run(), dialer, who)
			Expect(err).To(MatchError(client.ErrLoginFailed))
			Expect(err).NotTo(MatchError(client.ErrServerUnverified))
		},
		Entry("of a wrong password", limit, isXdg, Label("mech:plus"), xdgLines, bound, mistaken, exporter),
		Entry("of a wrong password without binding", limit, isXdg, Label("mech:plain"), xdgLines, unbound, mistaken, derive(nil)),
		Entry("of the binding of another session", limit, isXdg, Label("mech:plus", "rfc:9266"), xdgLines, bound, alice,
			other(xdg.ChannelBindingTLSExporter)),
		Entry("of the binding to another certificate", limit, isXdg, Label("mech:plus", "rfc:5929"), xdgLines, tls12, alice,
			other(xdg.ChannelBindingTLSServerEndpoint)),
		Entry("of a wrong password", limit, isGsasl, Label("mech:plus"), gsaslLines, bound, mistaken, exporter),
		Entry("of a wrong password without binding", limit, isGsasl, Label("mech:plain"), gsaslLines, unbound, mistaken, derive(nil)),
		Entry("of the binding of another session", limit, isGsasl, Label("mech:plus", "rfc:9266"), gsaslLines, bound, alice,
			other(xdg.ChannelBindingTLSExporter)),
	)
})
