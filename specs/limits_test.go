package specs

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("A drop in the middle of a reply", Label("area:faults", "promise:6", "battery:31"), func() {
	DescribeTable("frees the seat",
		func(ctx SpecContext, drop func(*harness.Conn), reason string) {
			const size = 32 << 20 // more than the kernel takes for a client that doesn't read
			reply := make([]byte, size)
			h := start(func(s *server.Server) {
				s.Handler = server.HandlerFunc(func(context.Context, *server.Request) (protocol.Reply, error) {
					return protocol.Reply{Body: reply}, nil
				})
			})
			alice := h.Connect(ctx).Seated("alice")
			Expect(alice.Ask("GIVE")).To(Equal("251 33554432"))
			drop(alice)
			Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
			end := h.Log.Records("session.close")[0]
			Expect(end.Str("reason")).To(Equal(reason))
			Expect(end["bytes_out"]).To(BeNumerically("<", size), "it was not over")
			Expect(h.Log.Records("request")[0].Str("verb")).To(Equal("GIVE"), "what was answered is on record")
		},
		Entry("by a reset", func(w *harness.Conn) {
			Expect(w.TCP.SetLinger(0)).To(Succeed())
			Expect(w.TCP.Close()).To(Succeed())
		}, "reset", limit),
		Entry("by a close with the reply unread, which is a reset", func(w *harness.Conn) {
			Expect(w.TCP.Close()).To(Succeed())
		}, "reset", limit),
	)
})
