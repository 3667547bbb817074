package peers

import (
	"context"
	"crypto/sha256"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"github.com/sallyport/sallyport/protocol/scram"
)

// bindings are the channel bindings of conversations without a connection. The first is none.
var bindings = []scram.ChannelBinding{
	{},
	{Type: scram.TypeExporter, Data: hashed("a session")},
	{Type: scram.TypeServerEndPoint, Data: hashed("a certificate")},
}

// hashed makes 32 bytes of a text, as data of a channel binding or a key.
func hashed(of string) []byte {
	sum := sha256.Sum256([]byte(of))
	return sum[:]
}

// The stages of a conversation. A case must fail in the right one.
const (
	serverFirst = "server-first"
	clientFinal = "client-final"
	serverFinal = "server-final"
	verified    = "verified"
)

// refusal is a server-final of xdg with e=.
type refusal string

func (r refusal) Error() string { return string(r) }

// conversation is one side of a login by another implementation. Step takes a message and returns the next one.
type conversation interface {
	Step(message string) (string, error)
	Done() bool
	Valid() bool
}

// theirsToOurs runs a login of their client with our server, and returns the stage of its end.
func theirsToOurs(client conversation, server *scram.Server) (stage string, err error) {
	GinkgoHelper()
	first, err := client.Step("")
	Expect(err).NotTo(HaveOccurred())
	challenge, err := server.First([]byte(first))
	if err != nil {
		return serverFirst, err
	}
	final, err := client.Step(string(challenge))
	if err != nil {
		return clientFinal, err
	}
	signature, err := server.Final([]byte(final))
	if err != nil {
		return serverFinal, err
	}
	_, err = client.Step(string(signature))
	return verified, err
}

// oursToTheirs runs a login of our client with their server.
func oursToTheirs(ctx context.Context, client *scram.Client, server conversation) (stage string, err error) {
	GinkgoHelper()
	first, err := client.First()
	Expect(err).NotTo(HaveOccurred())
	challenge, err := server.Step(string(first))
	if err != nil {
		return serverFirst, refusal(challenge)
	}
	final, err := client.Final(ctx, []byte(challenge))
	if err != nil {
		return clientFinal, err
	}
	signature, err := server.Step(string(final))
	if err != nil && signature == "" {
		return serverFinal, err // gsasl sends its client no reason
	}
	if err != nil {
		Expect(client.Verify([]byte(signature))).To(MatchError(scram.ErrServerError))
		return serverFinal, refusal(signature)
	}
	return verified, client.Verify([]byte(signature))
}

// verifier returns one that Sallyport has made.
func (a account) verifier() scram.Verifier {
	GinkgoHelper()
	v, err := scram.NewVerifier(a.password, []byte(a.salt), a.iterations)
	Expect(err).NotTo(HaveOccurred())
	return v
}

func mechanism(b scram.ChannelBinding) string {
	if b.Type == "" {
		return scram.SHA256
	}
	return scram.SHA256Plus
}

// ourServer returns a server that knows one user.
func ourServer(a account, v scram.Verifier, binding scram.ChannelBinding) *scram.Server {
	return scram.NewServer(scram.ServerConfig{
		Mechanism: mechanism(binding), Bindings: []scram.ChannelBinding{binding}, PlusOffered: binding.Type != "",
		Lookup: func(name string) (scram.Verifier, bool) { return v, name == a.prepared },
	})
}

func ourClient(a account, binding scram.ChannelBinding) *scram.Client {
	GinkgoHelper()
	client, err := scram.NewClient(scram.ClientConfig{
		Username: a.name, Password: a.password, Mechanism: mechanism(binding), Binding: binding,
	})
	Expect(err).NotTo(HaveOccurred())
	return client
}

// peer is another implementation of SCRAM, on both sides.
type peer struct {
	name string
	// bindings are those that it supports.
	bindings []scram.ChannelBinding
	client   func(ctx context.Context, who account, b scram.ChannelBinding, more ...string) conversation
	server   func(ctx context.Context, who account, b scram.ChannelBinding) conversation
	// refuses matches the error of its server for a wrong password. doubts matches the error of its client for a
	// server that doesn't know the password.
	refuses, doubts types.GomegaMatcher
}

var peers = []*peer{xdgScram, gsaslProgram}

// mistaken has a wrong password, stranger a name that the other side doesn't know.
var mistaken, stranger = func() (m, s account) {
	m, s = alice, alice
	m.password, s.name, s.prepared = "wrong", "mallory", "mallory"
	return m, s
}()

// forged returns a verifier of alice with a wrong ServerKey.
func forged() scram.Verifier {
	v := alice.verifier()
	v.ServerKey = hashed("forged")
	return v
}

func describePeer(p *peer) {
	for _, b := range p.bindings {
		When(strings.TrimSpace("it is "+mechanism(b)+" "+b.Type), mechanismLabels(b), func() {
			for title, who := range accounts {
				It("proves its client to our server, with "+title, func(ctx SpecContext) {
					client, server := p.client(ctx, who, b), ourServer(who, fromXdg(who.xdgCredentials()), b)
					stage, err := theirsToOurs(client, server)
					Expect(err).NotTo(HaveOccurred(), stage)
					Expect(client.Valid()).To(BeTrue())
					Expect([]string{server.Username(), server.Binding()}).To(Equal([]string{who.prepared, b.Type}))
				}, limit)
				It("proves our client to its server, with "+title, func(ctx SpecContext) {
					client, server := ourClient(who, b), p.server(ctx, who, b)
					stage, err := oursToTheirs(ctx, client, server)
					Expect(err).NotTo(HaveOccurred(), stage)
					Expect(server.Valid()).To(BeTrue())
					if named, ok := server.(interface{ Username() string }); ok {
						Expect(named.Username()).To(Equal(who.prepared))
					}
				}, limit)
			}
			It("refuses its client with a wrong password", Label("control"), func(ctx SpecContext) {
				stage, err := theirsToOurs(p.client(ctx, mistaken, b), ourServer(alice, alice.verifier(), b))
				Expect(err).To(MatchError(scram.ErrWrongProof))
				Expect(stage).To(Equal(serverFinal))
			}, limit)
			It("refuses its client with an unknown name", Label("control"), func(ctx SpecContext) {
				stage, err := theirsToOurs(p.client(ctx, stranger, b), ourServer(alice, alice.verifier(), b))
				Expect(err).To(MatchError(scram.ErrUnknownUser))
				Expect(stage).To(Equal(serverFinal))
			}, limit)
			It("has its client refuse a server of ours with another ServerKey", Label("control"), func(ctx SpecContext) {
				client := p.client(ctx, alice, b)
				stage, err := theirsToOurs(client, ourServer(alice, forged(), b))
				Expect(err).To(p.doubts)
				Expect(stage).To(Equal(verified))
				Expect(client.Valid()).To(BeFalse())
			}, limit)
			It("has its server refuse our client with a wrong password", Label("control"), func(ctx SpecContext) {
				server := p.server(ctx, alice, b)
				stage, err := oursToTheirs(ctx, ourClient(mistaken, b), server)
				Expect(err).To(p.refuses)
				Expect(stage).To(Equal(serverFinal))
				Expect(server.Valid()).To(BeFalse())
			}, limit)
		})
	}

	It("has its server refuse our client with the binding of another session", Label("control", "mech:plus", "rfc:9266"),
		func(ctx SpecContext) {
			stage, err := oursToTheirs(ctx, ourClient(alice, elsewhere(bindings[1])), p.server(ctx, alice, bindings[1]))
			Expect(err).To(HaveOccurred())
			Expect(stage).To(Equal(serverFinal))
		}, limit)
	It("refuses its client with the binding of another session", Label("control", "mech:plus", "rfc:9266"), func(ctx SpecContext) {
		stage, err := theirsToOurs(p.client(ctx, alice, elsewhere(bindings[1])), ourServer(alice, alice.verifier(), bindings[1]))
		Expect(err).To(MatchError(scram.ErrBindingMismatch))
		Expect(stage).To(Equal(serverFinal))
	}, limit)
}

var _ = Describe("A SCRAM conversation", Label("rfc:5802", "rfc:7677"), func() {
	for _, p := range peers {
		When("the other side is "+p.name, Label("peer:"+p.name), func() { describePeer(p) })
	}
})

// elsewhere returns a binding of the same type with other data.
func elsewhere(b scram.ChannelBinding) scram.ChannelBinding {
	return scram.ChannelBinding{Type: b.Type, Data: hashed("elsewhere")}
}

func mechanismLabels(b scram.ChannelBinding) Labels {
	switch b.Type {
	case scram.TypeExporter:
		return Label("mech:plus", "rfc:9266")
	case scram.TypeServerEndPoint:
		return Label("mech:plus", "rfc:5929")
	}
	return Label("mech:plain")
}
