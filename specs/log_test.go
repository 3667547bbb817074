package specs

import (
	"context"
	"errors"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
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
			Expect(verify(bad, "")).Error().To(MatchError(HavePrefix("log:3: ")))
		}
		Expect(verify(lines[:len(lines)-1], "")).Error().NotTo(HaveOccurred(), "without a head a cut tail can't be seen")
		Expect(verify(lines[:len(lines)-1], whole.Head)).Error().To(HaveOccurred())
		Expect(verify(lines, whole.Head)).Error().NotTo(HaveOccurred())
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
		Entry("when the password is wrong", "wrong-proof", client.Credentials{Username: "alice", Password: "guess"}, limit),
		Entry("when there is no such user", "unknown-user", client.Credentials{Username: "nobody", Password: "guess"}, limit),
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

var _ = Describe("Bad input", Label("area:protocol"), func() {
	DescribeTable("is answered as documented after the login",
		func(ctx SpecContext, sent string, want ...string) {
			h := start(func(s *server.Server) { s.Limits.Body = 1000 })
			w := h.Wire(ctx, true).Seated("alice")
			w.Send(sent)
			for _, line := range want {
				Expect(w.Line()).To(HavePrefix(line))
			}
			Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
		},
		Entry("a bare LF", "NOOP\n", "500 syntax ", "EOF", limit),
		Entry("a bare CR", "NO\rOP\r\n", "500 syntax ", "EOF", limit),
		Entry("a NUL", "\x00\r\n", "500 syntax ", "EOF", limit),
		Entry("invalid UTF-8", "ECHO \xff\r\n", "500 syntax ", "EOF", limit),
		Entry("a long line", strings.Repeat("x", 9000), "500 line-too-long ", "EOF", limit),
		Entry("an unknown verb", "FROB\r\nQUIT\r\n", "500 unknown-command ", "221 ", "EOF", limit),
		Entry("an empty line", "\r\nQUIT\r\n", "500 unknown-command ", "221 ", "EOF", limit),
		Entry("an unknown verb with a body", "BODY 4 FROB\r\nQUITQUIT\r\n", "500 unknown-command ", "221 ", "EOF", limit),
		Entry("a malformed BODY", "BODY 04 ECHO\r\nQUIT\r\n", "501 argument ", "EOF", limit),
		Entry("a BODY over the limit", "BODY 1001 ECHO\r\n", "552 too-large ", "EOF", limit),
		Entry("a BODY of a size that no number holds", "BODY 99999999999999999999 ECHO\r\n", "552 too-large ", "EOF", limit),
		Entry("SAY where nobody listens", "SAY hello\r\nQUIT\r\n", "550 refused ", "221 ", limit),
		Entry("OPEN where there is no backend", "OPEN\r\nQUIT\r\n", "500 unknown-command ", "221 ", limit),
	)

	DescribeTable("is answered as documented before the login",
		func(ctx SpecContext, sent string, want ...string) {
			h := start(nil)
			w := h.Wire(ctx, false).Greeted()
			w.Send(sent)
			for _, line := range want {
				Expect(w.Line()).To(HavePrefix(line))
			}
		},
		Entry("a request", "ECHO x\r\nNOOP\r\n", "530 login-required ", "250 ", limit),
		Entry("a BODY", "BODY 3 ECHO\r\nabc", "530 login-required ", "EOF", limit),
		Entry("three errors", "A\r\nB\r\nC\r\nNOOP\r\n", "530 ", "530 ", "530 ", "421 too-many-errors ", "EOF", limit),
		Entry("an unknown mechanism", "AUTH PLAIN AGFsaWNlAHg=\r\nNOOP\r\n", "504 mechanism ", "250 ", limit),
		Entry("AUTH alone", "AUTH\r\nNOOP\r\n", "501 argument ", "250 ", limit),
		Entry("a bad initial response", "AUTH SCRAM-SHA-256 a===\r\nNOOP\r\n", "501 base64 ", "250 ", limit),
		Entry("a bad response", "AUTH SCRAM-SHA-256\r\na===\r\n", "334 ", "501 base64 ", "EOF", limit),
		Entry("a cancelled login", "AUTH SCRAM-SHA-256\r\n*\r\n", "334 ", "501 cancelled ", "EOF", limit),
		Entry("an empty initial response", "AUTH SCRAM-SHA-256 =\r\n", "535 login-failed ", "EOF", limit),
		Entry("EHLO without a name", "EHLO\r\nNOOP\r\n", "501 argument ", "250 ", limit),
		Entry("the flag y where PLUS is offered", "AUTH SCRAM-SHA-256 eSwsbj1hbGljZSxyPW5vbmNl\r\n", "535 login-failed ", "EOF", limit),
	)
})

var _ = Describe("Handlers", Label("area:session", "promise:6"), func() {
	It("answer an error, a panic and an overdue request with 554, and the session goes on", func(ctx SpecContext) {
		h := start(func(s *server.Server) {
			s.Limits.Request = 50e6
			mux := s.Stock()
			mux.HandleFunc("FAIL", func(context.Context, *server.Request) (r protocol.Reply, err error) {
				return r, errors.New("an inner secret")
			})
			mux.HandleFunc("PANIC", func(context.Context, *server.Request) (protocol.Reply, error) { panic("an inner secret") })
			mux.HandleFunc("HANG", func(ctx context.Context, _ *server.Request) (r protocol.Reply, err error) {
				<-ctx.Done()
				return r, nil
			})
			mux.HandleFunc("NO", func(context.Context, *server.Request) (r protocol.Reply, err error) {
				return r, server.Refuse("not today")
			})
			s.Handler = mux
		})
		w := h.Wire(ctx, true).Seated("alice")
		for _, verb := range []string{"FAIL", "PANIC", "HANG", "HANG"} {
			Expect(w.Ask(verb)).To(And(HavePrefix("554 failed "), Not(ContainSubstring("secret"))))
		}
		Expect(w.Ask("NO")).To(Equal("550 refused not today"))
		Expect(w.Ask("ECHO still here")).To(Equal("250 still here"))
		Expect(h.Log.Records("handler.panic")).To(HaveLen(1))
		Expect(h.Log.String()).NotTo(ContainSubstring("secret"))
	}, limit)

	It("are cancelled when their client has gone", func(ctx SpecContext) {
		entered, left := make(chan struct{}), make(chan error, 1)
		h := start(func(s *server.Server) {
			mux := s.Stock()
			mux.HandleFunc("HANG", func(ctx context.Context, _ *server.Request) (r protocol.Reply, err error) {
				close(entered)
				<-ctx.Done()
				left <- context.Cause(ctx)
				return r, nil
			})
			s.Handler = mux
		})
		w := h.Wire(ctx, true).Seated("alice")
		w.Send("HANG\r\n")
		Eventually(ctx, entered).Should(BeClosed())
		Expect(w.TCP.Close()).To(Succeed())
		Eventually(ctx, left).WithTimeout(1e9).Should(Receive(MatchError("the client has gone")))
		Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
	}, limit)

	It("keep the pipeline that came while they ran", func(ctx SpecContext) {
		release := make(chan struct{})
		h := start(func(s *server.Server) {
			mux := s.Stock()
			mux.HandleFunc("WAIT", func(context.Context, *server.Request) (r protocol.Reply, err error) {
				<-release
				return r, nil
			})
			s.Handler = mux
		})
		w := h.Wire(ctx, true).Seated("alice")
		w.Send("WAIT\r\n")
		Consistently(ctx, release).WithTimeout(150e6).ShouldNot(Receive())
		w.Send("ECHO one\r\nBODY 3 ECHO\r\nabcECHO two\r\n")
		close(release)
		for _, want := range []string{"250 ", "250 one", "251 3", "abc250 two"} {
			Expect(w.Line()).To(Equal(want))
		}
	}, limit)
})

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
