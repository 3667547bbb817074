package specs

import (
	"crypto/tls"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// seated is how every session begins that had not to wait.
var seated = []string{"conn.accept", "tls.handshake", "login.ok", "session.open"}

// and is a sequence with more behind it.
func and(before []string, more ...string) []string {
	return append(before[:len(before):len(before)], more...)
}

var _ = Describe("The interaction log of whole connections", Label("area:log", "promise:5"), func() {
	// That nothing comes after a connection's end is checked of every log.
	DescribeTable("has their events in order",
		func(ctx SpecContext, configure func(*server.Server), act func(SpecContext, *harness.H), want ...[]string) {
			h := start(configure)
			act(ctx, h)
			Eventually(ctx, func() [][]string { return harness.Connections(h.Log) }).Should(Equal(want))
		},
		Entry("a session", nil, func(ctx SpecContext, h *harness.H) {
			w := h.Wire(ctx, true).Seated("alice")
			Expect(w.Ask("TIME")).To(HavePrefix("250 "))
			Expect(w.Ask("QUIT")).To(HavePrefix("221 "))
		}, and(seated, "request", "request", "session.close"), limit),
		Entry("one that waited for it", nil, queued,
			and(seated, "request", "session.close"),
			[]string{"conn.accept", "tls.handshake", "login.ok", "queue.enter", "queue.leave", "session.open", "request", "session.close"}, limit),
		Entry("one that is turned away", func(s *server.Server) { s.Admission = server.Reject{} }, func(ctx SpecContext, h *harness.H) {
			alice := h.LoggedIn(ctx, "alice")
			Expect(h.Wire(ctx, true).Greeted().Login("bob", "").Line()).To(HavePrefix("421 busy "))
			Expect(alice.Quit(ctx)).To(Succeed())
		}, and(seated, "request", "session.close"), []string{"conn.accept", "tls.handshake", "login.ok", "conn.close"}, limit),
		Entry("one that is evicted", func(s *server.Server) { s.Admission = server.Takeover{} }, func(ctx SpecContext, h *harness.H) {
			h.LoggedIn(ctx, "alice")
			Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
		},
			and(seated, "session.close"),
			[]string{"conn.accept", "tls.handshake", "login.ok", "queue.enter", "queue.leave", "session.open", "request", "session.close"}, limit),
		Entry("a stranger in the lobby", nil, func(ctx SpecContext, h *harness.H) {
			w := h.Wire(ctx, true).Greeted()
			Expect(w.Ask("ECHO let me in")).To(HavePrefix("530 "))
			Expect(w.Close()).To(Succeed())
		}, []string{"conn.accept", "tls.handshake", "conn.close"}, limit),
		Entry("a guess", nil, func(ctx SpecContext, h *harness.H) {
			w := h.Wire(ctx, true).Greeted()
			Expect(w.Ask(w.WrongProof(w.Ask("AUTH SCRAM-SHA-256 biwsbj1hbGljZSxyPW5vbmNl")))).To(HavePrefix("535 "))
		}, []string{"conn.accept", "tls.handshake", "login.fail", "conn.close"}, limit),
		Entry("a failure of TLS", nil, func(ctx SpecContext, h *harness.H) {
			Expect(tls.Client(dial(ctx, h), &tls.Config{ServerName: "localhost"}).HandshakeContext(ctx)).NotTo(Succeed())
		}, []string{"conn.accept", "tls.fail", "conn.close"}, limit),
		Entry("one for which there is no room", func(s *server.Server) { s.Limits.Lobby = 1 }, func(ctx SpecContext, h *harness.H) {
			w := h.Wire(ctx, true).Greeted()
			dial(ctx, h)
			Eventually(ctx, func() []string { return h.Log.Events("") }).Should(ContainElement("conn.refuse"))
			Expect(w.Ask("QUIT")).To(HavePrefix("221 "))
		}, []string{"conn.accept", "tls.handshake", "conn.close"}, []string{"conn.refuse"}, limit),
		Entry("a stream", backed, func(ctx SpecContext, h *harness.H) {
			w := h.Wire(ctx, true).Seated("alice")
			Expect(w.Ask("OPEN")).To(Equal("252 open"))
			Expect(w.Close()).To(Succeed())
		}, and(seated, "request", "stream.open", "stream.close", "session.close"), limit),
	)
})
