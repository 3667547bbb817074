package specs

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// vanish lets a client's kernel drop all input, so that it acknowledges nothing. To the server it looks as if the
// cable was pulled.
func vanish(w *harness.Conn) {
	GinkgoHelper()
	raw, err := w.TCP.SyscallConn()
	Expect(err).NotTo(HaveOccurred())
	dropAll := unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}}
	Expect(raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &dropAll)
	})).To(Succeed())
	Expect(err).NotTo(HaveOccurred())
}

var _ = Describe("A client that vanishes without a FIN", Label("area:faults", "promise:6", "battery:19"), func() {
	within := func(d time.Duration) func(*server.Server) {
		return func(s *server.Server) { s.Limits.Vanish, s.Limits.Write = d, d }
	}

	It("loses the seat if it acknowledges nothing", func(ctx SpecContext) {
		h := start(within(200 * time.Millisecond))
		vanish(h.Connect(ctx).Seated("alice"))
		bob := h.LogIn(ctx, "bob") // the server sends alice a notice
		Eventually(ctx, bob.Done).Should(BeClosed())
		Expect(bob.Err).NotTo(HaveOccurred())
		Expect(h.Log.Records("session.close")[0].Str("reason")).To(Equal("vanished"))
	}, limit)

	It("loses the seat though the server sends nothing", Label("slow"), func(ctx SpecContext) {
		h := start(within(time.Second))
		vanish(h.Connect(ctx).Seated("alice"))
		Eventually(ctx, func() []testserver.Record { return h.Log.Records("session.close") }).Should(HaveLen(1))
		Expect(h.Log.Records("session.close")[0].Str("reason")).To(Equal("vanished"))
		Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
	}, limit)

	It("loses its place in the queue, and the clients behind it move up", func(ctx SpecContext) {
		h := start(within(200 * time.Millisecond))
		alice := h.LoggedIn(ctx, "alice")
		bob := h.Queued(ctx, "bob")
		carol := h.Connect(ctx).Greeted().LogIn("carol", "")
		Expect(carol.Line()).To(Equal("120 position 2 holder alice"))
		dave := h.Connect(ctx).Greeted().LogIn("dave", "")
		Expect(dave.Line()).To(Equal("120 position 3 holder alice"))
		vanish(carol)
		Expect(alice.Quit(ctx)).To(Succeed())
		Eventually(ctx, bob.Done).Should(BeClosed())
		Expect(bob.Err).NotTo(HaveOccurred())
		Expect(dave.Line()).To(Equal("120 position 2 holder bob"))
		Expect(dave.Line()).To(Equal("120 position 1 holder bob"))
		Eventually(ctx, func() []testserver.Record { return h.Log.Records("queue.leave") }).Should(ContainElement(
			HaveKeyWithValue("reason", "vanished")))
	}, limit)

	It("loses its place also if the server has written to it shortly before that", Label("slow"), func(ctx SpecContext) {
		const may = 6 * time.Second
		h := start(within(may))
		h.LoggedIn(ctx, "alice")
		var waiting []*harness.Conn
		for i, name := range []string{"bob", "carol", "dave"} {
			waiting = append(waiting, h.Connect(ctx).Greeted().LogIn(name, ""))
			Expect(waiting[i].Line()).To(Equal(fmt.Sprintf("120 position %d holder alice", i+1)))
		}
		vanish(waiting[2])
		since := time.Now()
		passed := func() time.Duration { return time.Since(since) }
		for i, at := range []time.Duration{may - time.Second, may + time.Second/2} {
			Eventually(ctx, passed).WithTimeout(2 * may).Should(BeNumerically(">", at))
			waiting[i].Send("QUIT\r\n") // dave's position changes
		}
		Eventually(ctx, func() []testserver.Record { return h.Log.Records("queue.leave") }).WithTimeout(may).Should(ContainElement(
			HaveKeyWithValue("reason", "vanished")))
		Expect(passed()).To(BeNumerically("<", may+3*time.Second))
	}, limit)

	It("loses a seat that it is granted to the next client", func(ctx SpecContext) {
		h := start(within(200 * time.Millisecond))
		alice := h.LoggedIn(ctx, "alice")
		bob := h.Connect(ctx).Greeted().LogIn("bob", "")
		Expect(bob.Line()).To(Equal("120 position 1 holder alice"))
		vanish(bob)
		Expect(alice.Quit(ctx)).To(Succeed())
		Expect(h.LoggedIn(ctx, "carol").Quit(ctx)).To(Succeed())
		Expect(h.Log.Records("session.close")[1]).To(HaveKeyWithValue("reason", "vanished"))
	}, limit)

	It("keeps the seat if it only sends nothing", Label("control"), func(ctx SpecContext) {
		h := start(within(200 * time.Millisecond))
		alice := h.Connect(ctx).Seated("alice")
		bob := h.Queued(ctx, "bob")
		Expect(alice.Line()).To(Equal("121 waiting 1"))
		Consistently(ctx, bob.Done).WithTimeout(400 * time.Millisecond).ShouldNot(BeClosed())
		Expect(alice.Ask("ECHO still here")).To(Equal("250 still here"))
	}, limit)
})

var _ = Describe("A client that pauses in a raw stream", Label("area:stream", "promise:6"), func() {
	limits := server.Limits{Vanish: 200 * time.Millisecond, Write: 200 * time.Millisecond}

	It("keeps the seat for longer than a client may be silent or leave a reply unread", Label("slow"), func(ctx SpecContext) {
		h, alice := flooded(ctx, limits)
		Consistently(ctx, func() []testserver.Record { return h.Log.Records("session.close") }).
			WithTimeout(4500 * time.Millisecond).Should(BeEmpty())
		Expect(alice.Bytes(1 << 20)).To(HaveLen(1 << 20))
	}, limit)

	It("loses it if its kernel no longer answers", Label("slow"), func(ctx SpecContext) {
		h, alice := flooded(ctx, limits)
		vanish(alice)
		Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
		Expect(h.Log.Records("session.close")[0].Str("reason")).To(Equal("vanished"))
	}, limit)
})
