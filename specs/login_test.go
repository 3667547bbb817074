package specs

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("Login", Label("area:login", "promise:2", "promise:4"), func() {
	DescribeTable("refuses and closes the connection, with the same words for every reason",
		func(ctx SpecContext, reason string, who client.Credentials) {
			h := start(nil)
			_, err := h.Dialer().Dial(ctx, h.Addr, who)
			Expect(err).To(MatchError(client.ErrLoginFailed))
			Expect(err).To(refusedWith(535, protocol.KeywordLoginFailed))
			Expect(err.Error()).To(HaveSuffix("authentication failed"))
			Eventually(ctx, func() []string { return h.Log.Events("") }).Should(ContainElement("conn.close"))
			Expect(h.Log.Records("login.fail")).To(HaveLen(1))
			Expect(h.Log.Records("login.fail")[0].Str("reason")).To(Equal(reason))
			Expect(h.Log.Records("session.open")).To(BeEmpty())
			Expect(h.LoggedIn(ctx, "alice").Quit(ctx)).To(Succeed(), "control: the right password")
		},
		Entry("when the password is wrong", Label("battery:2"), "wrong-proof", client.Credentials{Username: "alice", Password: "guess"}, limit),
		Entry("when there is no such user", Label("battery:1", "battery:2"), "unknown-user", client.Credentials{Username: "nobody", Password: "guess"}, limit),
	)

	It("fails when the user is removed or gets a new password meanwhile", Label("battery:20"), func(ctx SpecContext) {
		h := start(nil)
		changed, err := scram.NewVerifier("a new password", []byte("another salt"), scram.MinIterations)
		Expect(err).NotTo(HaveOccurred())
		for _, v := range []scram.Verifier{changed, {}} {
			h.Users.Set("alice", harness.NewUsers().Must("alice"))
			w := h.Wire(ctx, true).Greeted()
			final := w.Challenged("alice")
			h.Users.Set("alice", v)
			Expect(w.Ask(final)).To(HavePrefix("535 login-failed "))
		}
		h.Users.Set("alice", harness.NewUsers().Must("alice"))
		w := h.Wire(ctx, true).Greeted()
		Expect(w.Ask(w.Challenged("alice"))).To(HavePrefix("334 "), "control: nothing changed")
	}, limit)

	It("ends at its deadline, whatever drips in", Label("battery:19"), func(ctx SpecContext) {
		h := start(func(s *server.Server) { s.Limits.Login = 150e6 })
		w := h.Wire(ctx, true).Greeted()
		Expect(w.Line()).To(HavePrefix("421 login-timeout "))
		Expect(w.Line()).To(Equal("EOF"))
	}, limit)
})
