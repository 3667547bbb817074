package specs

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

func texts(notices []client.Notice) (all []string) {
	for _, n := range notices {
		all = append(all, fmt.Sprint(int(n.Code), " ", n.Text))
	}
	return all
}

var _ = Describe("Admission", Label("area:admission", "promise:1"), func() {
	When("the policy is to queue", func() {
		var h *harness.H
		BeforeEach(func() { h = start(nil) })

		It("serves the first client at once", func(ctx SpecContext) {
			alice := h.LoggedIn(ctx, "alice")
			reply, err := alice.Do(ctx, harness.Ask("WHOAMI", ""))
			Expect(err).NotTo(HaveOccurred())
			Expect(reply.Text).To(Equal("alice"))
		}, limit)

		It("tells the second its position and whom it waits for, and the first that somebody waits", func(ctx SpecContext) {
			alice := h.LoggedIn(ctx, "alice")
			notices := alice.Notices()
			bob := h.Queued(ctx, "bob")
			Expect(texts(bob.Notices())).To(Equal([]string{"120 position 1 holder alice"}))
			Eventually(ctx, notices).Should(Receive(Equal(client.Notice{Code: 121, Text: "waiting 1"})))
			Expect(alice.Quit(ctx)).To(Succeed())
			Eventually(ctx, bob.Done).Should(BeClosed())
			Expect(bob.Err).NotTo(HaveOccurred())
		}, limit)

		DescribeTable("seats the second the moment that the first leaves", Label("promise:6"),
			func(ctx SpecContext, leave func(*harness.Wire)) {
				alice := h.Wire(ctx, true).Seated("alice")
				bob := h.Queued(ctx, "bob")
				Expect(bob.Finished()).To(BeFalse())
				leave(alice)
				Eventually(ctx, bob.Done).Should(BeClosed())
				Expect(bob.Err).NotTo(HaveOccurred())
			},
			Entry("with QUIT", func(w *harness.Wire) { w.Send("QUIT\r\n") }, limit),
			Entry("with a close_notify", func(w *harness.Wire) { Expect(w.Close()).To(Succeed()) }, limit),
			Entry("without one, as after kill -9", func(w *harness.Wire) { Expect(w.TCP.Close()).To(Succeed()) }, limit),
			Entry("with a reset", func(w *harness.Wire) {
				Expect(w.TCP.SetLinger(0)).To(Succeed())
				Expect(w.TCP.Close()).To(Succeed())
			}, limit),
		)

		It("serves ten clients first come, first served", Label("battery:21"), func(ctx SpecContext) {
			names := harness.Cast()
			first := h.LoggedIn(ctx, names[0])
			var waiting []*harness.Login
			for _, name := range names[1:] {
				waiting = append(waiting, h.Queued(ctx, name))
			}
			Expect(first.Quit(ctx)).To(Succeed())
			for i, login := range waiting {
				Eventually(ctx, login.Done).Should(BeClosed())
				Expect(login.Err).NotTo(HaveOccurred())
				for _, later := range waiting[i+1:] {
					Expect(later.Finished()).To(BeFalse(), "nobody overtakes")
				}
				Expect(login.Client.Quit(ctx)).To(Succeed())
			}
			var order []string
			for _, r := range h.Log.Records("session.open") {
				order = append(order, r.Str("user"))
			}
			Expect(order).To(Equal(names))
		}, limit)

		DescribeTable("moves those behind up when one leaves the queue",
			func(ctx SpecContext, leave func(*harness.Wire), reason string) {
				alice := h.Wire(ctx, true).Seated("alice")
				bob := h.Wire(ctx, true).Greeted().Login("bob", "")
				Expect(alice.Line()).To(Equal("121 waiting 1"))
				Expect(bob.Line()).To(Equal("120 position 1 holder alice"))
				carol := h.Wire(ctx, true).Greeted().Login("carol", "")
				Expect(alice.Line()).To(Equal("121 waiting 2"))
				Expect(carol.Line()).To(Equal("120 position 2 holder alice"))
				leave(bob)
				Expect(carol.Line()).To(Equal("120 position 1 holder alice"))
				Expect(alice.Line()).To(Equal("121 waiting 1"))
				Eventually(ctx, func() []harness.Record { return h.Log.Records("queue.leave") }).Should(HaveExactElements(HaveKeyWithValue("reason", reason)))
				Expect(alice.Ask("QUIT")).To(HavePrefix("221 "))
				Expect(carol.Line()).To(HavePrefix("235 "))
			},
			Entry("with QUIT", func(w *harness.Wire) { Expect(w.Ask("QUIT")).To(HavePrefix("221 ")) }, "quit", limit),
			Entry("with a close_notify", func(w *harness.Wire) { Expect(w.Close()).To(Succeed()) }, "closed", limit),
			Entry("without one", func(w *harness.Wire) { Expect(w.TCP.Close()).To(Succeed()) }, "cut", limit),
			Entry("with a reset", func(w *harness.Wire) {
				Expect(w.TCP.SetLinger(0)).To(Succeed())
				Expect(w.TCP.Close()).To(Succeed())
			}, "reset", limit),
		)

		It("tells who waits whenever somebody else has the seat", func(ctx SpecContext) {
			alice := h.LoggedIn(ctx, "alice")
			bob := h.Queued(ctx, "bob")
			carol := h.Wire(ctx, true).Greeted().Login("carol", "")
			Expect(carol.Line()).To(Equal("120 position 2 holder alice"))
			Expect(alice.Quit(ctx)).To(Succeed())
			Eventually(ctx, bob.Done).Should(BeClosed())
			Expect(carol.Line()).To(Equal("120 position 1 holder bob"))
		}, limit)

		It("answers anything but QUIT that comes before the 235 with 503", Label("promise:2", "battery:17"), func(ctx SpecContext) {
			early := h.Wire(ctx, true).Greeted().Login("alice", "ECHO too early\r\n")
			Expect(early.Line()).To(HavePrefix("503 sequence "))
			Expect(early.Line()).To(Equal("EOF"))
			Expect(h.Log.Records("request")).To(BeEmpty())
			Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
		}, limit)

		It("keeps a generic client free of 1yz lines", func(ctx SpecContext) {
			alice := h.LoggedIn(ctx, "alice")
			bob := h.Wire(ctx, false).Greeted().Login("bob", "")
			Eventually(ctx, func() []harness.Record { return h.Log.Records("queue.enter") }).Should(HaveLen(1))
			Expect(alice.Quit(ctx)).To(Succeed())
			Expect(bob.Line()).To(HavePrefix("235 "))
		}, limit)
	})

	When("the queue is full", func() {
		It("turns the next one away as busy", func(ctx SpecContext) {
			h := start(func(s *server.Server) { s.Admission = server.Queue{Depth: 1} })
			h.LoggedIn(ctx, "alice")
			h.Queued(ctx, "bob")
			_, err := h.Dialer().Dial(ctx, h.Addr, harness.Credentials("carol"))
			Expect(err).To(MatchError(client.ErrBusy))
			Expect(err).To(refusedWith(421, protocol.KeywordBusy))
		}, limit)
	})

	When("the wait takes too long", func() {
		It("ends it with wait-timeout and keeps the holder", func(ctx SpecContext) {
			h := start(func(s *server.Server) { s.Admission = server.Queue{Wait: 50e6} })
			alice := h.LoggedIn(ctx, "alice")
			_, err := h.Dialer().Dial(ctx, h.Addr, harness.Credentials("bob"))
			Expect(err).To(refusedWith(421, protocol.KeywordWaitTimeout))
			Expect(alice.Quit(ctx)).To(Succeed())
		}, limit)
	})

	When("the policy is to reject", func() {
		It("turns the second away and leaves the first alone", func(ctx SpecContext) {
			h := start(func(s *server.Server) { s.Admission = server.Reject{} })
			alice := h.LoggedIn(ctx, "alice")
			_, err := h.Dialer().Dial(ctx, h.Addr, harness.Credentials("bob"))
			Expect(err).To(MatchError(client.ErrBusy))
			Expect(alice.Quit(ctx)).To(Succeed())
			Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
		}, limit)
	})

	When("the policy is takeover", func() {
		It("evicts the first and seats the second", func(ctx SpecContext) {
			h := start(func(s *server.Server) { s.Admission = server.Takeover{} })
			alice := h.Wire(ctx, true).Seated("alice")
			bob := h.LoggedIn(ctx, "bob")
			Expect(alice.Line()).To(HavePrefix("421 evicted "))
			Expect(alice.Line()).To(Equal("EOF"))
			Expect(bob.Quit(ctx)).To(Succeed())
		}, limit)

		It("seats nobody before the running handler has returned, and evicts who waits for that", func(ctx SpecContext) {
			entered, leave := make(chan string, 3), make(chan struct{})
			h := start(func(s *server.Server) {
				s.Admission = server.Takeover{}
				s.Handler = server.HandlerFunc(func(_ context.Context, r *server.Request) (protocol.Reply, error) {
					entered <- r.User
					<-leave
					return protocol.Reply{}, nil
				})
			})
			alice := h.Wire(ctx, true).Seated("alice")
			alice.Send("WORK\r\nWORK\r\n")
			Eventually(ctx, entered).Should(Receive(Equal("alice")))
			bob := h.Queued(ctx, "bob")
			carol := h.Queued(ctx, "carol")
			Eventually(ctx, bob.Done).Should(BeClosed())
			Expect(bob.Err).To(refusedWith(421, protocol.KeywordEvicted))
			Expect(carol.Finished()).To(BeFalse())
			close(leave)
			Eventually(ctx, carol.Done).Should(BeClosed())
			Expect(carol.Err).NotTo(HaveOccurred())
			Expect(alice.Line()).To(HavePrefix("250"))
			Expect(alice.Line()).To(HavePrefix("421 evicted "), "what it had pipelined is dropped")
			Expect(entered).NotTo(Receive())
		}, limit)
	})

	It("is not delayed by strangers who never log in", Label("promise:2"), func(ctx SpecContext) {
		h := start(nil)
		for range 50 {
			h.Wire(ctx, true)
		}
		alice := h.LoggedIn(ctx, "alice")
		bob := h.Queued(ctx, "bob")
		Expect(alice.Quit(ctx)).To(Succeed())
		Eventually(ctx, bob.Done).Should(BeClosed())
		Expect(bob.Err).NotTo(HaveOccurred())
	}, limit)
})
