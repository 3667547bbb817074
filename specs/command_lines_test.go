//go:build !windows

package specs

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("The command's lines of input", Label("area:command", "command:lines"), func() {
	c := withCLI()
	s := c.withServer()
	long := "ECHO " + strings.Repeat("x", 20_000) + "\n"

	It("may be indented, in a pipe and in a here-document", func(ctx SpecContext) {
		Expect(c.Run(ctx, "  WHOAMI\n \tECHO a  b \n\t\n  quit\nECHO too late\n", s.As("connect", "alice")...)).To(printed("alice\na  b \n"))
		Expect(c.Run(ctx, "QUIT "+long+"WHOAMI\n", s.As("connect", "alice")...)).To(did(6, "alice\n", HavePrefix("QUIT: ")), "a line that is not sent ends nothing")
	}, limit)

	It("may begin with a byte order mark", func(ctx SpecContext) {
		Expect(c.Run(ctx, "\ufeffECHO a\r\nECHO \ufeffb\n", s.As("connect", "alice")...)).To(printed("a\n\ufeffb\n"))
	}, limit)

	It("are refused if they are longer than a request, and the next ones are sent", func(ctx SpecContext) {
		refused := c.Run(ctx, "ECHO a\n"+long+"\tECHO b\n"+long+"ECHO "+strings.Repeat("x", 20_000), s.As("connect", "alice")...)
		Expect(refused).To(did(6, "a\nb\n", strings.Repeat("ECHO: a line of more than 8192 bytes\n", 3)))
		longest := strings.Repeat("x", 8192-len("250 \r\n"))
		Expect(c.Run(ctx, "ECHO "+longest[1:]+"\n", s.As("connect", "alice")...)).To(printed(longest[1:]+"\n"), "control: the longest that is sent")
		Expect(c.Run(ctx, strings.Repeat(" ", 9_000)+"ECHO "+strings.Repeat("x", 8_000)+"\n", s.As("connect", "alice")...)).To(
			did(6, "", "ECHO: a line of more than 8192 bytes\n"), "and not the part that there is room for")
	}, limit)

	It("are refused by the operator's chat if they are too long, and the chat goes on", func(ctx SpecContext) {
		s.Stop(ctx)
		operator, in := c.ServeChat(ctx, s.state)
		alice, _ := operator.Seated(ctx, "alice")
		say(in, long+"five minutes left\n")
		says(ctx, operator, "! nothing was sent: a line of more than 8192 bytes\n")
		says(ctx, alice.Err, "notice: five minutes left\n")
	}, limit)
})

var _ = Describe("The command's results", Label("area:command", "command:output"), func() {
	c := withCLI()
	s := c.withServer()

	DescribeTable("that can't be written are a failure", func(ctx SpecContext, line string) {
		c.Scenario("a", goodScenario)
		run := c.Shell(ctx, "WHOAMI\n", s.shellLine(line)+" >/dev/full")
		Expect(run).To(did(1, "", MatchRegexp(`^sallyport[a-z ]*: standard output: no space left on device\n$`)))
		Expect(c.Shell(ctx, "WHOAMI\n", s.shellLine(line)+" >/dev/null")).To(printed(""), "control")
	},
		Entry("of a request", "CONNECT WHOAMI", limit),
		Entry("of requests from a pipe", "CONNECT", limit),
		Entry("of user list", "SALLYPORT user list --state state", limit),
		Entry("of a replay", "SALLYPORT replay mine", limit),
		Entry("of log sessions", "CONNECT WHOAMI >/dev/null && SALLYPORT log sessions --state state", limit),
		Entry("of a new folder of scenarios", "rm -rf new; SALLYPORT replay --init new", limit),
		Entry("of --help", "SALLYPORT serve --help", limit),
		Entry("of --version", "SALLYPORT --version", limit),
	)

	It("end the session if the reply takes longer than --timeout", func(ctx SpecContext) {
		alice, in := c.Piped(s.As("connect", "alice", "--timeout", "1s")...)
		say(in, "WHOAMI\n")
		says(ctx, alice, "^alice\n", "control")
		s.Freeze(ctx)
		say(in, "WHOAMI\n")
		exits(ctx, alice, 1)
		Expect(alice).To(did(1, "alice\n", "sallyport connect: no reply within --timeout: what became of the request is unknown\n"))
	}, limit)

	It("are given up at a signal, though the server is silent", func(ctx SpecContext) {
		alice, in := s.Seated(ctx, "alice")
		s.Freeze(ctx)
		say(in, "WHOAMI\n")
		exits(ctx, alice.Interrupt(), 1)
		Expect(stderr(alice)).To(ContainSubstring("signal received"))
	}, limit)

	It("are shown on a terminal without what a terminal obeys or hides", Label("area:terminal"), func(ctx SpecContext) {
		c.Write("body", "a\x1b[2Jb\u202ec\u200bd\ne")
		shown := func(args ...string) string {
			t := c.Terminal(s.As("connect", "alice", args...)...)
			Expect(t.ExitCode(ctx)).To(Equal(0))
			return t.Shown()
		}
		Expect(shown("--body", "body", "ECHO")).To(Equal(`a\x1b[2Jb\u202ec\u200bd` + "\r\ne"))
		Expect(shown("ECHO", "a\u202eb")).To(Equal(`a\u202eb` + "\r\n"))
		Expect(shown("--raw", "--body", "body", "ECHO")).To(Equal("a\x1b[2Jb\u202ec\u200bd\r\ne"))
		Expect(s.Connect(ctx, "alice", "--body", "body", "ECHO")).To(printed(c.Read("body")), "no terminal")
		Expect(s.Connect(ctx, "alice", "ECHO", "a\u202eb")).To(printed("a\u202eb\n"), "no terminal")
		pipe := c.Run(ctx, "ECHO a\u202eb\nNO-\u202e\n", s.As("connect", "alice")...)
		Expect(pipe).To(did(6, "a\u202eb\n", HavePrefix(`NO-\u202e: "NO-\u202e" is not a verb`)), "a refusal is for people")
	}, limit)
})

// shellLine returns a command line for a shell, with the command in place of SALLYPORT, and with connect to
// this server in place of CONNECT.
func (s *service) shellLine(line string) string {
	line = strings.ReplaceAll(line, "CONNECT", "SALLYPORT "+strings.Join(s.As("connect", "alice"), " "))
	return strings.ReplaceAll(line, "SALLYPORT", commandPath)
}
