package peers

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	xdg "github.com/xdg-go/scram"

	"github.com/sallyport/sallyport/protocol/scram"
)

var _ = Describe("A SCRAM conversation with xdg-go/scram that must fail", Label("peer:xdg", "rfc:5802", "control"), func() {
	mistaken := alice
	mistaken.password = "wrong"
	stranger := alice
	stranger.name, stranger.prepared = "mallory", "mallory"

	for _, binding := range bindings {
		labels := mechanismLabels(binding)
		When("it is "+mechanism(binding)+" "+binding.Type, labels, func() {
			verifier := alice.verifier
			It("refuses its client with a wrong password", func(SpecContext) {
				client := mistaken.xdgClient().NewConversationWithChannelBinding(toXdgBinding(binding))
				stage, err := theirsToOurs(client, ourServer(alice, verifier(), binding))
				Expect(err).To(MatchError(scram.ErrWrongProof))
				Expect(stage).To(Equal(serverFinal))
			}, limit)
			It("refuses its client with an unknown name", func(SpecContext) {
				client := stranger.xdgClient().NewConversationWithChannelBinding(toXdgBinding(binding))
				stage, err := theirsToOurs(client, ourServer(alice, verifier(), binding))
				Expect(err).To(MatchError(scram.ErrUnknownUser))
				Expect(stage).To(Equal(serverFinal))
			}, limit)
			It("has its client refuse a server of ours with another ServerKey", func(SpecContext) {
				forged := verifier()
				forged.ServerKey = octets("forged")
				client := alice.xdgClient().NewConversationWithChannelBinding(toXdgBinding(binding))
				stage, err := theirsToOurs(client, ourServer(alice, forged, binding))
				Expect(err).To(HaveOccurred())
				Expect(stage).To(Equal(verified))
				Expect(client.Valid()).To(BeFalse())
			}, limit)
			It("has its server refuse our client with a wrong password", func(ctx SpecContext) {
				server := xdgServerConversation(alice, alice.xdgCredentials(), binding)
				stage, err := oursToTheirs(ctx, ourClient(mistaken, binding), server)
				Expect(err).To(MatchError(refusal(xdg.ErrInvalidProof)))
				Expect(stage).To(Equal(serverFinal))
			}, limit)
			It("has its server refuse our client with an unknown name", func(ctx SpecContext) {
				server := xdgServerConversation(alice, alice.xdgCredentials(), binding)
				stage, err := oursToTheirs(ctx, ourClient(stranger, binding), server)
				Expect(err).To(MatchError(refusal(xdg.ErrUnknownUser)))
				Expect(stage).To(Equal(serverFirst))
			}, limit)
			It("has our client refuse its server with another ServerKey", func(ctx SpecContext) {
				forged := alice.xdgCredentials()
				forged.ServerKey = octets("forged")
				client := ourClient(alice, binding)
				stage, err := oursToTheirs(ctx, client, xdgServerConversation(alice, forged, binding))
				Expect(err).To(MatchError(scram.ErrServerUnverified))
				Expect(stage).To(Equal(verified))
				Expect(client.Verified()).To(BeFalse())
			}, limit)
		})
	}

	DescribeTable("refuses its client with a wrong binding", Label("mech:plus"),
		func(_ SpecContext, sent, expected scram.ChannelBinding, wantStage string, want error) {
			client := alice.xdgClient().NewConversationWithChannelBinding(toXdgBinding(sent))
			stage, err := theirsToOurs(client, ourServer(alice, alice.verifier(), expected))
			Expect(err).To(MatchError(want))
			Expect(stage).To(Equal(wantStage))
		},
		Entry("of another session", limit, elsewhere(bindings[1]), bindings[1], serverFinal, scram.ErrBindingMismatch),
		Entry("of another certificate", limit, elsewhere(bindings[2]), bindings[2], serverFinal, scram.ErrBindingMismatch),
		Entry("of a type that our server doesn't have", limit, bindings[2], bindings[1], serverFirst, scram.ErrBindingType),
		Entry("of a type that nobody should use", limit,
			scram.ChannelBinding{Type: "tls-unique", Data: bindings[1].Data}, bindings[1], serverFirst, scram.ErrBindingType),
	)

	DescribeTable("has its server refuse our client with a wrong binding", Label("mech:plus"),
		func(ctx SpecContext, sent, expected scram.ChannelBinding, wantStage, want string) {
			server := xdgServerConversation(alice, alice.xdgCredentials(), expected)
			stage, err := oursToTheirs(ctx, ourClient(alice, sent), server)
			Expect(err).To(MatchError(refusal(want)))
			Expect(stage).To(Equal(wantStage))
		},
		Entry("of another session", limit, elsewhere(bindings[1]), bindings[1], serverFinal, xdg.ErrChannelBindingsDontMatch),
		Entry("of another certificate", limit, elsewhere(bindings[2]), bindings[2], serverFinal, xdg.ErrChannelBindingsDontMatch),
		Entry("of another type", limit, bindings[1], bindings[2], serverFirst, xdg.ErrUnsupportedChannelBindingType),
		Entry("where it has none", limit, bindings[1], bindings[0], serverFirst, xdg.ErrChannelBindingNotSupported),
	)

	When("its client could have bound, and believes that our server can't", Label("mech:plain"), func() {
		attempt := func(plusOffered bool) (string, error) {
			return theirsToOurs(alice.xdgClient().NewConversationAdvertisingChannelBinding(), scram.NewServer(scram.ServerConfig{
				Mechanism: scram.SHA256, PlusOffered: plusOffered,
				Lookup: func(string) (scram.Verifier, bool) { return alice.verifier(), true },
			}))
		}
		It("is a downgrade where our server can", func(SpecContext) {
			stage, err := attempt(true)
			Expect(err).To(MatchError(scram.ErrBindingDowngrade))
			Expect(stage).To(Equal(serverFirst))
		}, limit)
		It("is a login where it can't", func(SpecContext) {
			_, err := attempt(false)
			Expect(err).NotTo(HaveOccurred())
		}, limit)
	})

	When("our client could have bound, and believes that its server can't", Label("mech:plain"), func() {
		attempt := func(ctx SpecContext, offered scram.ChannelBinding) (string, error) {
			client, err := scram.NewClient(scram.ClientConfig{
				Username: alice.name, Password: alice.password, Mechanism: scram.SHA256, ServerLacksPlus: true,
			})
			Expect(err).NotTo(HaveOccurred())
			return oursToTheirs(ctx, client, xdgServerConversation(alice, alice.xdgCredentials(), offered))
		}
		It("is a downgrade where its server can", func(ctx SpecContext) {
			stage, err := attempt(ctx, bindings[1])
			Expect(err).To(MatchError(refusal(xdg.ErrServerDoesSupportChannelBinding)))
			Expect(stage).To(Equal(serverFirst))
		}, limit)
		It("is a login where it can't", func(ctx SpecContext) {
			_, err := attempt(ctx, scram.ChannelBinding{})
			Expect(err).NotTo(HaveOccurred())
		}, limit)
	})

	It("ends where its server asks for too few iterations", func(ctx SpecContext) {
		weak := alice
		weak.iterations = scram.MinIterations - 1
		stage, err := oursToTheirs(ctx, ourClient(weak, bindings[0]), xdgServerConversation(weak, weak.xdgCredentials(), bindings[0]))
		Expect(err).To(MatchError(scram.ErrIterations))
		Expect(stage).To(Equal(clientFinal))
	}, limit)
})

var _ = Describe("A name that its client did not prepare", Label("peer:xdg", "rfc:4013"), func() {
	It("is prepared by our server", func(SpecContext) {
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

// elsewhere is a binding of the same type to something else.
func elsewhere(b scram.ChannelBinding) scram.ChannelBinding {
	return scram.ChannelBinding{Type: b.Type, Data: octets("elsewhere")}
}
