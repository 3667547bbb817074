package peers

import (
	"context"
	"crypto/sha256"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	xdg "github.com/xdg-go/scram"

	"github.com/sallyport/sallyport/protocol/scram"
)

// bindings are what a conversation can be bound to, without a connection.
var bindings = []scram.ChannelBinding{
	{},
	{Type: scram.TypeExporter, Data: octets("a session")},
	{Type: scram.TypeServerEndPoint, Data: octets("a certificate")},
}

func octets(of string) []byte {
	sum := sha256.Sum256([]byte(of))
	return sum[:]
}

// The stages of a conversation: a case that fails must fail in the right one.
const (
	serverFirst = "server-first"
	clientFinal = "client-final"
	serverFinal = "server-final"
	verified    = "verified"
)

// refusal is what a server of xdg's tells its client.
type refusal string

func (r refusal) Error() string { return string(r) }

// side is the other side of a login: it takes a message and gives its own.
type side interface {
	Step(message string) (string, error)
}

// theirsToOurs runs a login and says how far it came.
func theirsToOurs(client side, server *scram.Server) (stage string, err error) {
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

// oursToTheirs runs a login the other way round.
func oursToTheirs(ctx context.Context, client *scram.Client, server side) (stage string, err error) {
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
		return serverFinal, err // gsasl tells its client nothing
	}
	if err != nil {
		Expect(client.Verify([]byte(signature))).To(MatchError(scram.ErrServerError))
		return serverFinal, refusal(signature)
	}
	return verified, client.Verify([]byte(signature))
}

func (a account) xdgClient() *xdg.Client {
	GinkgoHelper()
	client, err := xdg.SHA256.NewClient(a.name, a.password, "")
	Expect(err).NotTo(HaveOccurred())
	return client
}

// xdgCredentials are a verifier that is not of our making.
func (a account) xdgCredentials() xdg.StoredCredentials {
	GinkgoHelper()
	stored, err := a.xdgClient().GetStoredCredentialsWithError(xdg.KeyFactors{Salt: a.salt, Iters: a.iterations})
	Expect(err).NotTo(HaveOccurred())
	return stored
}

// verifier is one that is.
func (a account) verifier() scram.Verifier {
	GinkgoHelper()
	v, err := scram.NewVerifier(a.password, []byte(a.salt), a.iterations)
	Expect(err).NotTo(HaveOccurred())
	return v
}

func fromXdg(c xdg.StoredCredentials) scram.Verifier {
	return scram.Verifier{Iterations: c.Iters, Salt: []byte(c.Salt), StoredKey: c.StoredKey, ServerKey: c.ServerKey}
}

func toXdg(v scram.Verifier) xdg.StoredCredentials {
	factors := xdg.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations}
	return xdg.StoredCredentials{KeyFactors: factors, StoredKey: v.StoredKey, ServerKey: v.ServerKey}
}

func toXdgBinding(b scram.ChannelBinding) xdg.ChannelBinding {
	return xdg.ChannelBinding{Type: xdg.ChannelBindingType(b.Type), Data: b.Data}
}

func mechanism(b scram.ChannelBinding) string {
	if b.Type == "" {
		return scram.SHA256
	}
	return scram.SHA256Plus
}

// ourServer knows one user.
func ourServer(a account, v scram.Verifier, binding scram.ChannelBinding) *scram.Server {
	return scram.NewServer(scram.ServerConfig{
		Mechanism: mechanism(binding), Bindings: []scram.ChannelBinding{binding}, PlusOffered: binding.Type != "",
		Lookup: func(name string) (scram.Verifier, bool) { return v, name == a.prepared },
	})
}

// xdgServerConversation is one with a server that knows one user.
func xdgServerConversation(a account, stored xdg.StoredCredentials, binding scram.ChannelBinding) *xdg.ServerConversation {
	GinkgoHelper()
	server, err := xdg.SHA256.NewServer(func(name string) (xdg.StoredCredentials, error) {
		if name != a.prepared {
			return xdg.StoredCredentials{}, refusal("nobody is called " + name)
		}
		return stored, nil
	})
	Expect(err).NotTo(HaveOccurred())
	return server.NewConversationWithChannelBinding(toXdgBinding(binding))
}

func ourClient(a account, binding scram.ChannelBinding) *scram.Client {
	GinkgoHelper()
	client, err := scram.NewClient(scram.ClientConfig{
		Username: a.name, Password: a.password, Mechanism: mechanism(binding), Binding: binding,
	})
	Expect(err).NotTo(HaveOccurred())
	return client
}

var _ = Describe("A SCRAM conversation with xdg-go/scram", Label("peer:xdg", "rfc:5802", "rfc:7677"), func() {
	for title, who := range accounts {
		for _, binding := range bindings {
			name := strings.TrimSuffix("with "+title+" and "+mechanism(binding)+" "+binding.Type, " ")
			labels := mechanismLabels(binding)
			It(name+" proves its client to our server", labels, func(SpecContext) {
				client := who.xdgClient().NewConversationWithChannelBinding(toXdgBinding(binding))
				server := ourServer(who, fromXdg(who.xdgCredentials()), binding)
				stage, err := theirsToOurs(client, server)
				Expect(err).NotTo(HaveOccurred(), stage)
				Expect(client.Valid()).To(BeTrue())
				Expect([]string{server.Username(), server.Binding()}).To(Equal([]string{who.prepared, binding.Type}))
			}, limit)
			It(name+" proves our client to its server", labels, func(ctx SpecContext) {
				client := ourClient(who, binding)
				server := xdgServerConversation(who, toXdg(who.verifier()), binding)
				stage, err := oursToTheirs(ctx, client, server)
				Expect(err).NotTo(HaveOccurred(), stage)
				Expect(client.Verified()).To(BeTrue())
				Expect(server.Valid()).To(BeTrue())
				Expect(server.Username()).To(Equal(who.prepared))
			}, limit)
		}
		It("derives the same verifier of "+title, func(SpecContext) {
			theirs, ours := fromXdg(who.xdgCredentials()), who.verifier()
			Expect(ours.String()).To(Equal(theirs.String()))
			parsed, err := scram.ParseVerifier(theirs.String())
			Expect(err).NotTo(HaveOccurred())
			Expect(parsed.Equal(ours)).To(BeTrue())

			other := who
			other.password += "!"
			Expect(other.verifier().String()).NotTo(Equal(theirs.String()), "the control")
		}, limit)
	}
})

func mechanismLabels(b scram.ChannelBinding) Labels {
	switch b.Type {
	case scram.TypeExporter:
		return Label("mech:plus", "rfc:9266")
	case scram.TypeServerEndPoint:
		return Label("mech:plus", "rfc:5929")
	}
	return Label("mech:plain")
}
