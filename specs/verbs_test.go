package specs

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("The stock verbs", Label("area:session"), func() {
	var (
		h     *harness.H
		alice *client.Client
		heard chan string
	)
	BeforeEach(func(ctx SpecContext) {
		heard = make(chan string, 1)
		h = start(func(s *server.Server) {
			s.OnSay = func(user, text string) { heard <- user + ": " + text }
		})
		alice = h.LoggedIn(ctx, "alice")
	})

	ask := func(ctx SpecContext, verb, argument string) string {
		GinkgoHelper()
		reply, err := alice.Do(ctx, harness.Ask(verb, argument))
		Expect(err).NotTo(HaveOccurred())
		Expect(reply.Code).To(Equal(protocol.CodeDone))
		return reply.Text
	}

	It("list themselves with HELP, a line each", func(ctx SpecContext) {
		Expect(ask(ctx, "HELP", "")).To(Equal("ECHO\nHELP\nNOOP\nQUIT\nSAY\nSTAT\nTIME\nWHOAMI"))
	}, limit)

	It("are found in any case", func(ctx SpecContext) {
		Expect(ask(ctx, "eChO", "As It Is")).To(Equal("As It Is"))
		Expect(ask(ctx, "whoami", "")).To(Equal("alice"))
		Expect(ask(ctx, "noop", "")).To(Equal("ok"))
	}, limit)

	It("tell the time in RFC 3339", func(ctx SpecContext) {
		t, err := time.Parse(time.RFC3339, ask(ctx, "TIME", ""))
		Expect(err).NotTo(HaveOccurred())
		Expect(t).To(BeTemporally("~", time.Now(), 10*time.Second))
	}, limit)

	It("tell with STAT who has the seat and who waits", func(ctx SpecContext) {
		h.Queued(ctx, "bob")
		stat := map[string]string{}
		for line := range strings.SplitSeq(ask(ctx, "STAT", ""), "\n") {
			key, value, _ := strings.Cut(line, " ")
			stat[key] = value
		}
		Expect(stat).To(HaveKeyWithValue("holder", "alice"))
		Expect(stat).To(HaveKeyWithValue("waiting", "1"))
		Expect(stat).To(HaveKeyWithValue("served", "1"))
		Expect(stat).To(HaveKey("uptime"))
		Expect(time.Parse(time.RFC3339, stat["since"])).Error().NotTo(HaveOccurred())
	}, limit)

	It("carry a chat both ways", func(ctx SpecContext) {
		notices := alice.Notices()
		Expect(ask(ctx, "SAY", "is anybody there?")).To(Equal("delivered"))
		Expect(heard).To(Receive(Equal("alice: is anybody there?")))
		Expect(h.Server.Say("yes, me")).To(Succeed())
		Eventually(ctx, notices).Should(Receive(Equal(client.Notice{Code: 150, Text: "yes, me"})))
		Expect(h.Server.Say("two\nlines")).To(MatchError(protocol.ErrSyntax))
		Expect(alice.Quit(ctx)).To(Succeed())
		Eventually(func() error { return h.Server.Say("too late") }).Should(MatchError(server.ErrNobodySeated))
		Expect(h.Log.Records("chat")).To(HaveLen(2))
	}, limit)

	It("end for the client whom the operator evicts, at once", func(ctx SpecContext) {
		for range 30 { // what comes as the server wakes up is the rare case
			Expect(h.Server.Evict()).To(BeTrue())
			Expect(alice.Quit(ctx)).To(refusedWith(421, protocol.KeywordEvicted))
			Eventually(ctx, h.Server.Evict).Should(BeFalse(), "control: nobody is left")
			alice = h.LoggedIn(ctx, "alice")
		}
		Expect(h.Log.Records("request")).To(BeEmpty())
	}, limit)

	It("take a body of any octets and give it back", func(ctx SpecContext) {
		for _, size := range []int{0, 1, 16 << 10, 1<<16 + 1, protocol.DefaultMaxBody} {
			body := make([]byte, size)
			for i := range body {
				body[i] = byte(i * 7)
			}
			reply, err := alice.Do(ctx, protocol.Request{Verb: "ECHO", Body: body})
			Expect(err).NotTo(HaveOccurred())
			Expect(string(reply.Body) == string(body)).To(BeTrue(), "%d octets", size)
		}
	}, limit)
})

var _ = Describe("The idle time-out", Label("area:session", "promise:6"), func() {
	It("frees the seat of a client that says nothing but NOOP", func(ctx SpecContext) {
		h := start(func(s *server.Server) { s.Limits.Idle = 200 * time.Millisecond })
		w := h.Wire(ctx, true).Seated("alice")
		var last string
		Eventually(ctx, func() string {
			last = w.Ask("NOOP")
			return last
		}).Should(HavePrefix("421 idle "))
		Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
	}, limit)

	It("does not end a session that is used", func(ctx SpecContext) {
		h := start(func(s *server.Server) { s.Limits.Idle = 400 * time.Millisecond })
		w := h.Wire(ctx, true).Seated("alice")
		Consistently(ctx, func() string { return w.Ask("ECHO x") }).WithTimeout(time.Second).Should(Equal("250 x"))
	}, limit)

	It("does not wait for a session limit, nor the limit for it", func(ctx SpecContext) {
		h := start(func(s *server.Server) { s.Limits.Session = 300 * time.Millisecond })
		w := h.Wire(ctx, true).Seated("alice")
		Eventually(ctx, func() string { return w.Ask("ECHO x") }).Should(HavePrefix("421 session-limit "))
	}, limit)
})
