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
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// derive is how xdg binds to a connection.
type derive func(*tls.ConnectionState) (xdg.ChannelBinding, error)

func unbound(*tls.ConnectionState) (xdg.ChannelBinding, error) { return xdg.ChannelBinding{}, nil }

// saslLogin is a login by the SASL profile of SMTP (RFC 4954), over a line
// reader that is not ours either. It says whether both sides are proved.
func saslLogin(text *textproto.Conn, mechanism string, client side) error {
	if _, _, err := text.ReadResponse(220); err != nil {
		return err
	}
	return saslExchange(text, mechanism, client)
}

// saslExchange is a login after the greeting.
func saslExchange(text *textproto.Conn, mechanism string, client side) error {
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

// ask sends a line and reads a reply.
func ask(text *textproto.Conn, want int, line string) (string, error) {
	if err := text.PrintfLine("%s", line); err != nil {
		return "", err
	}
	_, reply, err := text.ReadResponse(want)
	return reply, err
}

// answered matches the reply of a server that said something else.
func answered(code int) types.GomegaMatcher {
	return WithTransform(func(err error) int {
		reply, _ := err.(*textproto.Error)
		if reply == nil {
			return 0
		}
		return reply.Code
	}, Equal(code))
}

var _ = Describe("Our server, with xdg-go/scram at the other end of TLS", Label("peer:xdg", "rfc:4954"), func() {
	// attempt logs in and, if that worked, has a text echoed.
	attempt := func(ctx SpecContext, h *harness.H, who account, maxVersion uint16, bind derive) error {
		conn := dial(ctx, h.Addr, h.Roots, maxVersion)
		state := conn.ConnectionState()
		binding, err := bind(&state)
		Expect(err).NotTo(HaveOccurred())
		client := who.xdgClient().NewConversationWithChannelBinding(binding)
		text := textproto.NewConn(conn)
		name := mechanism(scram.ChannelBinding{Type: string(binding.Type)})
		if err := saslLogin(text, name, client); err != nil {
			return err
		}
		Expect(client.Valid()).To(BeTrue())
		Expect(ask(text, 250, "ECHO hello")).To(Equal("hello"))
		Expect(ask(text, 221, "QUIT")).To(Equal("bye"))
		return nil
	}

	DescribeTable("seats it", func(ctx SpecContext, version uint16, bind derive, mechanism, binding string) {
		h := start(allow12)
		Expect(attempt(ctx, h, alice, version, bind)).To(Succeed())
		Expect(loggedIn(h)).To(Equal([]string{"alice", mechanism, binding}))
		Expect(h.Log.Records("tls.handshake")[0].Str("version")).To(Equal(tls.VersionName(version)))
	},
		Entry("bound to the TLS 1.3 session", limit, Label("mech:plus", "rfc:9266"),
			uint16(tls.VersionTLS13), derive(xdg.NewTLSExporterBinding), scram.SHA256Plus, scram.TypeExporter),
		Entry("bound to the certificate", limit, Label("mech:plus", "rfc:5929"),
			uint16(tls.VersionTLS13), derive(xdg.NewTLSServerEndpointBinding), scram.SHA256Plus, scram.TypeServerEndPoint),
		Entry("bound to the certificate, on TLS 1.2", limit, Label("mech:plus", "rfc:5929"),
			uint16(tls.VersionTLS12), derive(xdg.NewTLSServerEndpointBinding), scram.SHA256Plus, scram.TypeServerEndPoint),
		Entry("unbound", limit, Label("mech:plain"), uint16(tls.VersionTLS13), derive(unbound), scram.SHA256, ""),
		Entry("unbound, on TLS 1.2", limit, Label("mech:plain"), uint16(tls.VersionTLS12), derive(unbound), scram.SHA256, ""),
	)

	DescribeTable("hashes its certificate as xdg does", Label("mech:plus", "rfc:5929"), func(ctx SpecContext, kind harness.Key) {
		pair := harness.Certificate(kind)
		h := start(func(s *server.Server) { s.TLSConfig.Certificates = []tls.Certificate{pair} })
		h.Roots.AddCert(pair.Leaf)
		Expect(attempt(ctx, h, alice, 0, xdg.NewTLSServerEndpointBinding)).To(Succeed())
		Expect(loggedIn(h)).To(Equal([]string{"alice", scram.SHA256Plus, scram.TypeServerEndPoint}))
	},
		Entry("ECDSA", limit, harness.ECDSA),
		Entry("RSA", limit, harness.RSA),
	)

	for title, who := range accounts {
		It("seats a user with "+title+", whose verifier xdg made", Label("mech:plus"), func(ctx SpecContext) {
			h := start(nil)
			h.Users.Set(who.prepared, fromXdg(who.xdgCredentials()))
			Expect(attempt(ctx, h, who, 0, xdg.NewTLSExporterBinding)).To(Succeed())
			Expect(loggedIn(h)).To(Equal([]string{who.prepared, scram.SHA256Plus, scram.TypeExporter}))
		}, limit)
	}

	DescribeTable("refuses", Label("control"), func(ctx SpecContext, password string, bind derive, reason string) {
		h := start(allow12)
		who := alice
		who.password = password
		Expect(attempt(ctx, h, who, 0, bind)).To(answered(535))
		Expect(refusals(h)).To(Equal([]string{reason}))
	},
		Entry("a wrong password", limit, Label("mech:plain"), "wrong", derive(unbound), "wrong-proof"),
		Entry("a wrong password, though bound", limit, Label("mech:plus"), "wrong", derive(xdg.NewTLSExporterBinding), "wrong-proof"),
		Entry("the binding of another session", limit, Label("mech:plus", "rfc:9266"), alice.password,
			other(xdg.ChannelBindingTLSExporter), "binding-mismatch"),
		Entry("the binding to another certificate", limit, Label("mech:plus", "rfc:5929"), alice.password,
			other(xdg.ChannelBindingTLSServerEndpoint), "binding-mismatch"),
		Entry("a binding that it doesn't have", limit, Label("mech:plus"), alice.password,
			other(xdg.ChannelBindingTLSUnique), "binding-type"),
	)

	It("refuses a login without binding where it demands one", Label("control", "mech:plain"), func(ctx SpecContext) {
		h := start(func(s *server.Server) { s.RequireBinding = true })
		Expect(attempt(ctx, h, alice, 0, unbound)).To(answered(504))
		Expect(attempt(ctx, h, alice, 0, xdg.NewTLSExporterBinding)).To(Succeed())
	}, limit)
})

// other derives a binding from nothing that has to do with the connection.
func other(of xdg.ChannelBindingType) derive {
	return func(*tls.ConnectionState) (xdg.ChannelBinding, error) {
		return xdg.ChannelBinding{Type: of, Data: octets("elsewhere")}, nil
	}
}
