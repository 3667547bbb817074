package peers

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	xdg "github.com/xdg-go/scram"

	"github.com/sallyport/sallyport/protocol/scram"
)

func (a account) xdgClient() *xdg.Client {
	GinkgoHelper()
	client, err := xdg.SHA256.NewClient(a.name, a.password, "")
	Expect(err).NotTo(HaveOccurred())
	return client
}

// xdgCredentials returns a verifier that xdg has made.
func (a account) xdgCredentials() xdg.StoredCredentials {
	GinkgoHelper()
	stored, err := a.xdgClient().GetStoredCredentialsWithError(xdg.KeyFactors{Salt: a.salt, Iters: a.iterations})
	Expect(err).NotTo(HaveOccurred())
	return stored
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

var xdgScram = &peer{
	name: "xdg", bindings: bindings,
	client: func(_ context.Context, who account, b scram.ChannelBinding, _ ...string) conversation {
		return who.xdgClient().NewConversationWithChannelBinding(toXdgBinding(b))
	},
	server: func(_ context.Context, who account, b scram.ChannelBinding) conversation {
		return xdgServer(who, who.xdgCredentials(), b)
	},
	refuses: MatchError(refusal(xdg.ErrInvalidProof)), doubts: HaveOccurred(),
}

// xdgServer returns a server of xdg that knows one user.
func xdgServer(who account, stored xdg.StoredCredentials, b scram.ChannelBinding) *xdg.ServerConversation {
	GinkgoHelper()
	server, err := xdg.SHA256.NewServer(func(name string) (xdg.StoredCredentials, error) {
		if name != who.prepared {
			return xdg.StoredCredentials{}, refusal("there is no user " + name)
		}
		return stored, nil
	})
	Expect(err).NotTo(HaveOccurred())
	return server.NewConversationWithChannelBinding(toXdgBinding(b))
}

var _ = Describe("A SCRAM conversation with xdg-go/scram", Label("peer:xdg", "rfc:5802"), func() {
	for title, who := range accounts {
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

	for _, b := range bindings {
		When(strings.TrimSpace("it is "+mechanism(b)+" "+b.Type), Label("control"), mechanismLabels(b), func() {
			It("has its server refuse our client with an unknown name", func(ctx SpecContext) {
				stage, err := oursToTheirs(ctx, ourClient(stranger, b), xdgScram.server(ctx, alice, b))
				Expect(err).To(MatchError(refusal(xdg.ErrUnknownUser)))
				Expect(stage).To(Equal(serverFirst))
			}, limit)
			It("has our client refuse its server with another ServerKey", func(ctx SpecContext) {
				client := ourClient(alice, b)
				stage, err := oursToTheirs(ctx, client, xdgServer(alice, toXdg(forged()), b))
				Expect(err).To(MatchError(scram.ErrServerUnverified))
				Expect(stage).To(Equal(verified))
			}, limit)
		})
	}

	DescribeTable("refuses its client with a wrong binding", Label("mech:plus", "control"),
		func(ctx SpecContext, sent, expected scram.ChannelBinding, wantStage string, want error) {
			stage, err := theirsToOurs(xdgScram.client(ctx, alice, sent), ourServer(alice, alice.verifier(), expected))
			Expect(err).To(MatchError(want))
			Expect(stage).To(Equal(wantStage))
		},
		Entry("of another certificate", limit, elsewhere(bindings[2]), bindings[2], serverFinal, scram.ErrBindingMismatch),
		Entry("of a type that our server doesn't have", limit, bindings[2], bindings[1], serverFirst, scram.ErrBindingType),
		Entry("of a type that RFC 9266 §5 warns of", limit,
			scram.ChannelBinding{Type: "tls-unique", Data: bindings[1].Data}, bindings[1], serverFirst, scram.ErrBindingType),
	)

	DescribeTable("has its server refuse our client with a wrong binding", Label("mech:plus", "control"),
		func(ctx SpecContext, sent, expected scram.ChannelBinding, wantStage, want string) {
			stage, err := oursToTheirs(ctx, ourClient(alice, sent), xdgScram.server(ctx, alice, expected))
			Expect(err).To(MatchError(refusal(want)))
			Expect(stage).To(Equal(wantStage))
		},
		Entry("of another session", limit, elsewhere(bindings[1]), bindings[1], serverFinal, xdg.ErrChannelBindingsDontMatch),
		Entry("of another certificate", limit, elsewhere(bindings[2]), bindings[2], serverFinal, xdg.ErrChannelBindingsDontMatch),
		Entry("of another type", limit, bindings[1], bindings[2], serverFirst, xdg.ErrUnsupportedChannelBindingType),
		Entry("where it has none", limit, bindings[1], bindings[0], serverFirst, xdg.ErrChannelBindingNotSupported),
	)

	DescribeTable("is a downgrade if its client could have bound, and our server can", Label("mech:plain", "control"),
		func(_ SpecContext, plusOffered bool, outcome types.GomegaMatcher) {
			_, err := theirsToOurs(alice.xdgClient().NewConversationAdvertisingChannelBinding(), scram.NewServer(scram.ServerConfig{
				Mechanism: scram.SHA256, PlusOffered: plusOffered,
				Lookup: func(string) (scram.Verifier, bool) { return alice.verifier(), true },
			}))
			Expect(err).To(outcome)
		},
		Entry("as here", limit, true, MatchError(scram.ErrBindingDowngrade)),
		Entry("but a login if it can't", limit, false, Not(HaveOccurred())),
	)

	DescribeTable("is a downgrade if our client could have bound, and its server can", Label("mech:plain", "control"),
		func(ctx SpecContext, offered scram.ChannelBinding, outcome types.GomegaMatcher) {
			client, err := scram.NewClient(scram.ClientConfig{
				Username: alice.name, Password: alice.password, Mechanism: scram.SHA256, ServerLacksPlus: true,
			})
			Expect(err).NotTo(HaveOccurred())
			_, err = oursToTheirs(ctx, client, xdgScram.server(ctx, alice, offered))
			Expect(err).To(outcome)
		},
		Entry("as here", limit, bindings[1], MatchError(refusal(xdg.ErrServerDoesSupportChannelBinding))),
		Entry("but a login if it can't", limit, bindings[0], Not(HaveOccurred())),
	)

	It("ends if its server demands too few iterations", Label("control"), func(ctx SpecContext) {
		weak := alice
		weak.iterations = scram.MinIterations - 1
		stage, err := oursToTheirs(ctx, ourClient(weak, bindings[0]), xdgScram.server(ctx, weak, bindings[0]))
		Expect(err).To(MatchError(scram.ErrIterations))
		Expect(stage).To(Equal(clientFinal))
	}, limit)

	It("has our server prepare a name that its client did not prepare", Label("rfc:4013"), func(SpecContext) {
		who := accounts["a name that SASLprep changes"]
		password, err := scram.Prepare(who.password)
		Expect(err).NotTo(HaveOccurred())
		client, err := xdg.SHA256.NewClientUnprepped(who.name, password, "")
		Expect(err).NotTo(HaveOccurred())
		server := ourServer(who, who.verifier(), bindings[0])
		stage, err := theirsToOurs(client.NewConversation(), server)
		Expect(err).NotTo(HaveOccurred(), stage)
		Expect(server.Username()).To(Equal(who.prepared))
		Expect(who.name).NotTo(Equal(who.prepared), "the control")
	}, limit)
})
