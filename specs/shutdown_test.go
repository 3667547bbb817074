package specs

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
)

var _ = Describe("Shutdown", Label("area:shutdown", "promise:7"), func() {
	It("lets the running request end, tells the waiting, seats nobody", func(ctx SpecContext) {
		entered, release := make(chan struct{}), make(chan struct{})
		h := start(func(s *server.Server) {
			s.Handler = server.HandlerFunc(func(context.Context, *server.Request) (protocol.Reply, error) {
				close(entered)
				<-release
				return protocol.Reply{Text: "done"}, nil
			})
		})
		alice := h.Wire(ctx, true).Seated("alice")
		alice.Send("WORK\r\nWORK\r\n")
		Eventually(ctx, entered).Should(BeClosed())
		bob := h.Queued(ctx, "bob")
		stranger := h.Wire(ctx, true).Greeted()
		stopped := make(chan error, 1)
		go func() { stopped <- h.Server.Shutdown(ctx) }()
		Eventually(ctx, bob.Done).Should(BeClosed())
		Expect(bob.Err).To(refusedWith(421, protocol.KeywordShutdown))
		Expect(stranger.Line()).To(HavePrefix("421 shutdown "))
		Expect(stopped).NotTo(Receive())
		close(release)
		Expect(alice.Line()).To(Equal("250 done"))
		Expect(alice.Line()).To(HavePrefix("421 shutdown "))
		Eventually(ctx, stopped).Should(Receive(BeNil()))
		Expect(h.Log.Events("")[len(h.Log.Events(""))-1]).To(Equal("server.stop"))
	}, limit)
})
