package peers

import (
	"crypto/tls"
	"encoding/base64"
	"net/textproto"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	xdg "github.com/xdg-go/scram"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// derive is a function of xdg that derives a channel binding from a connection.
type derive func(*tls.ConnectionState) (xdg.ChannelBinding, error)

func unbound(*tls.ConnectionState) (xdg.ChannelBinding, error) { return xdg.ChannelBinding{}, nil }

// saslLogin logs in by the SASL profile of SMTP (RFC 4954), with the line reader of net/textproto. It returns no error
// if both sides are proved.
func saslLogin(text *textproto.Conn, mechanism string, client conversation) error {
	if _, _, err := text.ReadResponse(220); err != nil {
		return err
	}
	return saslExchange(text, mechanism, client)
}

// saslExchange logs in after the greeting.
func saslExchange(text *textproto.Conn, mechanism string, client conversation) error {
	command, challenge := "AUTH "+mechanism+" ", ""
	for range 2 {
		message, err := client.Step(challenge)
		if err != nil {
			return err
		}
		if challenge, err = ask(text, 334, command+base64.StdEncoding.EncodeToString([]byte(message))); err != nil {
			return err
		}
		decoded, err := base64.StdEncoding.DecodeString(challenge)
		if err != nil {
			return err
		}
		command, challenge = "", string(decoded)
	}
	message, err := client.Step(challenge)
	if err != nil {
		return err
	}
	_, err = ask(text, 235, message) // an empty one
	return err
}

// ask sends a line and returns the reply, which must have the wanted code.
func ask(text *textproto.Conn, want int, line string) (string, error) {
	if err := text.PrintfLine("%s", line); err != nil {
		return "", err
	}
	_, reply, err := text.ReadResponse(want)
	return reply, err
}

// answered matches the error of ask for a reply with this code.
func answered(code int) types.GomegaMatcher {
	return WithTransform(func(err error) int {
		reply, _ := err.(*textproto.Error)
		if reply == nil {
			return 0
		}
		return reply.Code
	}, Equal(code))
}

var _ = Describe("Our server, with another SCRAM at the other end of TLS", Label("rfc:4954"), func() {
	// attempt logs in and then has a text echoed.
	attempt := func(ctx SpecContext, h *harness.H, p *peer, who account, maxVersion uint16, bind derive, more ...string) error {
		GinkgoHelper()
		conn := dial(ctx, h.Addr, h.Roots, maxVersion)
		state := conn.ConnectionState()
		binding, err := bind(&state) // by xdg, neither by Sallyport nor by gsasl
		Expect(err).NotTo(HaveOccurred())
		b := scram.ChannelBinding{Type: string(binding.Type), Data: binding.Data}
		client, text := p.client(ctx, who, b, more...), textproto.NewConn(conn)
		if err := saslLogin(text, mechanism(b), client); err != nil {
			return err
		}
		Expect(client.Valid()).To(BeTrue())
		Expect(ask(text, 250, "ECHO hello")).To(Equal("hello"))
		Expect(ask(text, 221, "QUIT")).To(Equal("bye"))
		return nil
	}
	isXdg, isGsasl := Label("peer:xdg"), Label("peer:gsasl")
	exporter, endPoint := derive(xdg.NewTLSExporterBinding), derive(xdg.NewTLSServerEndpointBinding)
	const tls12, tls13 = uint16(tls.VersionTLS12), uint16(tls.VersionTLS13)

	DescribeTable("seats it",
		func(ctx SpecContext, p *peer, version uint16, bind derive, mechanism, binding string, more ...string) {
			h := start(allow12)
			Expect(attempt(ctx, h, p, alice, version, bind, more...)).To(Succeed())
			Expect(loggedIn(h)).To(Equal([]string{"alice", mechanism, binding}))
			Expect(h.Log.Records("tls.handshake")[0].Str("version")).To(Equal(tls.VersionName(version)))
		},
		Entry("bound to the TLS 1.3 session", limit, isXdg, Label("mech:plus", "rfc:9266"),
			xdgScram, tls13, exporter, scram.SHA256Plus, scram.TypeExporter),
		Entry("bound to the certificate", limit, isXdg, Label("mech:plus", "rfc:5929"),
			xdgScram, tls13, endPoint, scram.SHA256Plus, scram.TypeServerEndPoint),
		Entry("bound to the certificate, on TLS 1.2", limit, isXdg, Label("mech:plus", "rfc:5929"),
			xdgScram, tls12, endPoint, scram.SHA256Plus, scram.TypeServerEndPoint),
		Entry("unbound", limit, isXdg, Label("mech:plain"), xdgScram, tls13, derive(unbound), scram.SHA256, ""),
		Entry("unbound, on TLS 1.2", limit, isXdg, Label("mech:plain"), xdgScram, tls12, derive(unbound), scram.SHA256, ""),
		Entry("bound to the TLS 1.3 session", limit, isGsasl, Label("mech:plus", "rfc:9266"),
			gsaslProgram, tls13, exporter, scram.SHA256Plus, scram.TypeExporter),
		Entry("unbound", limit, isGsasl, Label("mech:plain"), gsaslProgram, tls13, derive(unbound), scram.SHA256, "", "--no-cb"),
		Entry("with itself as authzid", limit, isGsasl, Label("mech:plus", "battery:12"),
			gsaslProgram, tls13, exporter, scram.SHA256Plus, scram.TypeExporter, "-z", "alice"),
	)

	DescribeTable("hashes its certificate as xdg does", isXdg, Label("mech:plus", "rfc:5929"), func(ctx SpecContext, kind testserver.Key) {
		h := start(func(s *server.Server) { s.TLSConfig.Certificates = []tls.Certificate{testserver.Certificate(kind)} })
		Expect(attempt(ctx, h, xdgScram, alice, 0, endPoint)).To(Succeed())
		Expect(loggedIn(h)).To(Equal([]string{"alice", scram.SHA256Plus, scram.TypeServerEndPoint}))
	},
		Entry("ECDSA", limit, testserver.ECDSA),
		Entry("RSA", limit, testserver.RSA),
	)

	DescribeTable("refuses", Label("control", "promise:2"),
		func(ctx SpecContext, p *peer, who account, bind derive, reason string, more ...string) {
			h := start(allow12)
			Expect(attempt(ctx, h, p, who, 0, bind, more...)).To(answered(535))
			Expect(refusals(h)).To(Equal([]string{reason}))
		},
		Entry("a wrong password", limit, isXdg, Label("mech:plain"), xdgScram, mistaken, derive(unbound), "wrong-proof"),
		Entry("a wrong password, though bound", limit, isXdg, Label("mech:plus"), xdgScram, mistaken, exporter, "wrong-proof"),
		Entry("the binding of another session", limit, isXdg, Label("mech:plus", "rfc:9266", "promise:3"), xdgScram, alice,
			other(xdg.ChannelBindingTLSExporter), "binding-mismatch"),
		Entry("the binding to another certificate", limit, isXdg, Label("mech:plus", "rfc:5929", "promise:3"), xdgScram, alice,
			other(xdg.ChannelBindingTLSServerEndpoint), "binding-mismatch"),
		Entry("a binding that it doesn't have", limit, isXdg, Label("mech:plus"), xdgScram, alice,
			other(xdg.ChannelBindingTLSUnique), "binding-type"),
		Entry("a wrong password", limit, isGsasl, Label("mech:plain"), gsaslProgram, mistaken, derive(unbound), "wrong-proof", "--no-cb"),
		Entry("a wrong password, though bound", limit, isGsasl, Label("mech:plus"), gsaslProgram, mistaken, exporter, "wrong-proof"),
		Entry("the binding of another session", limit, isGsasl, Label("mech:plus", "rfc:9266", "promise:3"), gsaslProgram, alice,
			other(xdg.ChannelBindingTLSExporter), "binding-mismatch"),
		Entry("an empty authzid", limit, isGsasl, Label("mech:plus", "battery:12"), gsaslProgram, alice, exporter, "malformed", "-z", ""),
		Entry("another's authzid", limit, isGsasl, Label("mech:plus", "battery:12"), gsaslProgram, alice, exporter, "malformed", "-z", "bob"),
	)

	DescribeTable("refuses a login without binding if it requires one", Label("control"), func(ctx SpecContext, p *peer) {
		h := start(func(s *server.Server) { s.RequireBinding = true })
		Expect(attempt(ctx, h, p, alice, 0, unbound)).To(answered(504))
		Expect(attempt(ctx, h, p, alice, 0, exporter)).To(Succeed())
	},
		Entry("of xdg", limit, isXdg, xdgScram),
		Entry("of gsasl", limit, isGsasl, gsaslProgram),
	)
})

// other returns a binding that doesn't belong to the connection.
func other(of xdg.ChannelBindingType) derive {
	return func(*tls.ConnectionState) (xdg.ChannelBinding, error) {
		return xdg.ChannelBinding{Type: of, Data: hashed("elsewhere")}, nil
	}
}
