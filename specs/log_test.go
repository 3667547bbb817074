package specs

import (
	"errors"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("The interaction log", Label("area:log", "promise:5"), func() {
	var h *harness.H
	BeforeEach(func() { h = start(nil) })

	// conn is the connection that user had a session on.
	conn := func(user string) string {
		for _, r := range h.Log.Records("session.open") {
			if r.Str("user") == user {
				return r.Str("conn")
			}
		}
		return "none"
	}

	It("has every event of a session and of one that waited for it, in order", func(ctx SpecContext) {
		alice := h.LoggedIn(ctx, "alice")
		bob := h.Queued(ctx, "bob")
		_, err := alice.Do(ctx, harness.Ask("ECHO", "hello"))
		Expect(err).NotTo(HaveOccurred())
		Expect(alice.Quit(ctx)).To(Succeed())
		Eventually(ctx, bob.Done).Should(BeClosed())
		Expect(bob.Client.Quit(ctx)).To(Succeed())
		Eventually(ctx, func() []string { return h.Log.Events(conn("bob")) }).Should(ContainElement("session.close"))

		Expect(h.Log.Events("")[0]).To(Equal("server.start"))
		Expect(h.Log.Events(conn("alice"))).To(Equal([]string{
			"conn.accept", "tls.handshake", "login.ok", "session.open", "request", "request", "session.close",
		}))
		Expect(h.Log.Events(conn("bob"))).To(Equal([]string{
			"conn.accept", "tls.handshake", "login.ok", "queue.enter", "queue.leave", "session.open", "request", "session.close",
		}))
		request := h.Log.Records("request")[0]
		for field, want := range map[string]any{
			"n": 1.0, "verb": "ECHO", "argument_bytes": 5.0, "body_bytes": 0.0, "code": 250.0, "keyword": "", "reply_bytes": 11.0,
		} {
			Expect(request).To(HaveKeyWithValue(field, want))
		}
		Expect(h.Log.Records("session.close")[0].Str("reason")).To(Equal("quit"))
		Expect(h.Log.Verify()).To(Succeed())
	}, limit)

	It("has a request on record before its reply is sent", func(ctx SpecContext) {
		alice := h.Wire(ctx, true).Seated("alice")
		for range 20 {
			Expect(alice.Ask("TIME")).To(HavePrefix("250 "))
			n := len(h.Log.Records("request"))
			Expect(alice.Ask("TIME")).To(HavePrefix("250 "))
			Expect(h.Log.Records("request")).To(HaveLen(n + 1))
		}
	}, limit)

	It("holds no secret and no payload", func(ctx SpecContext) {
		_, err := h.Dialer().Dial(ctx, h.Addr, client.Credentials{Username: "my password by mistake", Password: "a wrong one"})
		Expect(err).To(MatchError(client.ErrLoginFailed))
		_, err = h.Dialer().Dial(ctx, h.Addr, client.Credentials{Username: "alice", Password: "a wrong one"})
		Expect(err).To(MatchError(client.ErrLoginFailed))
		alice := h.Wire(ctx, true).Seated("alice")
		Expect(alice.Ask("ECHO in confidence")).To(Equal("250 in confidence"))
		Expect(alice.Ask(harness.Password("alice"))).To(HavePrefix("500 unknown-command "))
		Expect(alice.Ask("hunter2")).To(HavePrefix("500 unknown-command "))
		alice.Send("BODY 9 ECHO\r\nthe body!")
		Expect(alice.Line()).To(Equal("251 9"))
		for _, secret := range []string{
			harness.Password("alice"), "ALICE'S", "hunter2", "HUNTER2", "a wrong one", "my password by mistake", "in confidence", "the body!",
		} {
			Expect(h.Log.String()).NotTo(ContainSubstring(secret))
		}
		fails := h.Log.Records("login.fail")
		Expect(fails).To(HaveLen(2))
		Expect(fails[0].Str("reason")).To(Equal("unknown-user"))
		Expect(fails[0].Str("user")).To(MatchRegexp(`^#[0-9a-f]{12}$`))
		Expect(fails[1].Str("reason")).To(Equal("wrong-proof"))
		Expect(fails[1].Str("user")).To(Equal("alice"))
	}, limit)

	It("would show them to the same search with --log-payload and --log-names", Label("control"), func(ctx SpecContext) {
		h = start(func(s *server.Server) { s.LogPayload, s.LogNames = true, true })
		_, err := h.Dialer().Dial(ctx, h.Addr, client.Credentials{Username: "my password by mistake", Password: "a wrong one"})
		Expect(err).To(MatchError(client.ErrLoginFailed))
		alice := h.Wire(ctx, true).Seated("alice")
		Expect(alice.Ask("ECHO in confidence")).To(Equal("250 in confidence"))
		for _, text := range []string{"my password by mistake", "in confidence"} {
			Expect(h.Log.String()).To(ContainSubstring(text))
		}
	}, limit)

	It("finds a line that was edited, dropped or swapped, and a cut tail by its head", func(ctx SpecContext) {
		Expect(h.LoggedIn(ctx, "alice").Quit(ctx)).To(Succeed())
		Eventually(ctx, func() []string { return h.Log.Events("") }).Should(ContainElement("session.close"))
		lines := strings.SplitAfter(strings.TrimSuffix(h.Log.String(), "\n"), "\n")
		lines[len(lines)-1] += "\n"
		verify := func(lines []string, head string) (audit.Report, error) {
			return audit.Verify(strings.NewReader(strings.Join(lines, "")), "log", head)
		}
		whole, err := verify(lines, "")
		Expect(err).NotTo(HaveOccurred())

		edited := append([]string(nil), lines...)
		edited[2] = strings.Replace(edited[2], "TLS 1.3", "TLS 1.2", 1)
		dropped := append(append([]string(nil), lines[:2]...), lines[3:]...)
		swapped := append([]string(nil), lines...)
		swapped[2], swapped[3] = swapped[3], swapped[2]
		for _, bad := range [][]string{edited, dropped, swapped} {
			_, err := verify(bad, "")
			Expect(err).To(MatchError(HavePrefix("log:3: ")))
		}
		_, err = verify(lines[:len(lines)-1], "")
		Expect(err).NotTo(HaveOccurred(), "without a head a cut tail can't be seen")
		_, err = verify(lines[:len(lines)-1], whole.Head)
		Expect(err).To(MatchError(audit.ErrNoHead))
		_, err = verify(lines, whole.Head)
		Expect(err).NotTo(HaveOccurred())
	}, limit)

	When("it can't be written", func() {
		It("serves nobody and says so, and serves again when it can", func(ctx SpecContext) {
			alice := h.Wire(ctx, true).Seated("alice")
			h.Log.Fail(errors.New("no space left on device"))
			Expect(alice.Ask("ECHO unlogged")).To(HavePrefix("421 log-failed "))
			Expect(alice.Line()).To(Equal("EOF"))
			_, err := h.Dialer().Dial(ctx, h.Addr, harness.Credentials("bob"))
			Expect(err).To(refusedWith(421, protocol.KeywordLogFailed))
			h.Log.Fail(nil)
			Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
			Expect(h.Log.Verify()).To(Succeed())
		}, limit)

		It("goes on where the operator chose so", func(ctx SpecContext) {
			h = start(func(s *server.Server) { s.ServeUnlogged = true })
			h.Log.Fail(errors.New("no space left on device"))
			alice := h.LoggedIn(ctx, "alice")
			_, err := alice.Do(ctx, harness.Ask("ECHO", "unlogged"))
			Expect(err).NotTo(HaveOccurred())
			h.Log.Fail(nil)
		}, limit)
	})
})
