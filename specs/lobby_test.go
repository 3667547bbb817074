package specs

import (
	"io"
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("The lobby", Label("area:lobby", "promise:2"), func() {
	DescribeTable("has room for so many, and closes the next connection without an octet",
		func(ctx SpecContext, all, ofOneSource int, reason string) {
			h := start(func(s *server.Server) { s.Limits.Lobby, s.Limits.LobbyPerSource = all, ofOneSource })
			alice := h.LoggedIn(ctx, "alice")
			strangers := []*harness.Wire{h.Wire(ctx, true).Greeted(), h.Wire(ctx, true).Greeted()}

			next, err := net.Dial("tcp", h.Addr)
			Expect(err).NotTo(HaveOccurred())
			defer next.Close()
			Expect(io.ReadAll(next)).To(BeEmpty())
			refused := h.Log.Records("conn.refuse")
			Expect(refused).To(HaveLen(1))
			Expect(refused[0].Str("reason")).To(Equal(reason))

			Expect(alice.Quit(ctx)).To(Succeed(), "who is seated is not touched")
			Expect(strangers[0].TCP.Close()).To(Succeed())
			Eventually(ctx, func() error {
				bob, err := h.Dialer().Dial(ctx, h.Addr, harness.Credentials("bob"))
				if err == nil {
					err = bob.Quit(ctx)
				}
				return err
			}).WithTimeout(5e9).Should(Succeed(), "control: a place that is given back is there for the next")
		},
		Entry("in all", 2, 256, "lobby-full", limit),
		Entry("of one source", 256, 2, "source-full", limit),
	)

	DescribeTable("gets a place back from whoever leaves without a login", Label("battery:19"),
		func(ctx SpecContext, leave func(*harness.Wire)) {
			h := start(func(s *server.Server) { s.Limits.Lobby = 1 })
			leave(h.Wire(ctx, true).Greeted())
			Eventually(ctx, func() error {
				_, err := h.Dialer().Dial(ctx, h.Addr, harness.Credentials("alice"))
				return err
			}).WithTimeout(5e9).Should(Succeed())
		},
		Entry("with QUIT", func(w *harness.Wire) { Expect(w.Ask("QUIT")).To(HavePrefix("221 ")) }, limit),
		Entry("with a close_notify", func(w *harness.Wire) { Expect(w.Close()).To(Succeed()) }, limit),
		Entry("without one", func(w *harness.Wire) { Expect(w.TCP.Close()).To(Succeed()) }, limit),
		Entry("in the middle of the login", func(w *harness.Wire) {
			w.Challenged("alice")
			Expect(w.TCP.Close()).To(Succeed())
		}, limit),
		Entry("after a wrong password", func(w *harness.Wire) {
			Expect(w.Ask(w.WrongProof(w.Ask("AUTH SCRAM-SHA-256 biwsbj1hbGljZSxyPW5vbmNl")))).To(HavePrefix("535 "))
		}, limit),
	)
})
