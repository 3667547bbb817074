package specs

import (
	"os"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

var _ = Describe("The command log", Label("area:command", "area:log", "promise:5"), func() {
	var (
		c *cli
		s *service
	)
	BeforeEach(func(ctx SpecContext) {
		c = newCLI()
		s = c.Serve(ctx, "--log-payload")
	}, limitOfNode)

	show := func(ctx SpecContext, args ...string) string {
		GinkgoHelper()
		run := c.Run(ctx, "", append([]string{"log", "show"}, append(args, s.Log())...)...)
		Expect(run).To(gexec.Exit(0))
		Expect(stderr(run)).To(BeEmpty())
		return stdout(run)
	}

	It("shows a line for each event, without colour where there is no terminal", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "alice", "ECHO", "hello")).To(gexec.Exit(0))
		s.Stop(ctx)
		shown := show(ctx)
		Expect(strings.Count(shown, "\n")).To(Equal(strings.Count(s.LogText(), "\n")))
		Expect(shown).NotTo(ContainSubstring("\x1b"))
		Expect(shown).To(MatchRegexp(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+ +request +n=1 verb=ECHO .*argument=hello`))
	}, limit)

	It("makes visible what a terminal would obey or hide", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "alice", "ECHO", "gnp.\u202eexe\u200b")).To(printed("gnp.\u202eexe\u200b\n"))
		Expect(s.LogText()).To(ContainSubstring("\u202e"), "control: it is there")
		Expect(show(ctx)).To(ContainSubstring(`argument="gnp.\u202eexe\u200b"`))
		c.Write("forged", `{"time":"now\u001b[2J","event":"\u0007","x":"\u001b]0;title\u0007"}`+"\n\x1b[31mno record\r\n")
		forged := c.Run(ctx, "", "log", "show", "forged")
		Expect(forged).To(gexec.Exit(0))
		Expect(stdout(forged)).To(MatchRegexp(`^[\x20-\x7e\n]*$`))
		Expect(stdout(forged)).To(ContainSubstring(`! "\x1b[31mno record\r"`))
	}, limit)

	It("shows one user's events with --user", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "alice", "ECHO", "of alice")).To(gexec.Exit(0))
		Expect(s.Connect(ctx, "bob", "ECHO", "of bob")).To(gexec.Exit(0))
		s.Stop(ctx)
		Expect(show(ctx)).To(SatisfyAll(ContainSubstring("of alice"), ContainSubstring("of bob")), "control")
		Expect(show(ctx, "--user", "bob")).To(SatisfyAll(
			Not(ContainSubstring("alice")), ContainSubstring("of bob"), ContainSubstring("session.close")))
	}, limit)

	It("shows what is young enough with --since", func(ctx SpecContext) {
		Expect(show(ctx, "--since", "1h")).To(ContainSubstring("server.start"))
		Expect(show(ctx, "--since", "2026-01-01")).To(ContainSubstring("server.start"))
		Expect(show(ctx, "--since", time.Now().Add(time.Hour).Format(time.RFC3339))).To(BeEmpty())
	}, limit)

	It("follows a log, across its rotation, until it is interrupted", func(ctx SpecContext) {
		following := c.Start("log", "show", "--follow", s.Log())
		says(ctx, following, "server.start")
		Expect(s.Connect(ctx, "alice", "ECHO", "one")).To(gexec.Exit(0))
		says(ctx, following, "session.close")
		Expect(os.Rename(s.Log(), s.Log()+".1")).To(Succeed())
		says(ctx, s.Signal(syscall.SIGHUP).Err, "reloaded")
		Expect(s.Connect(ctx, "bob", "ECHO", "two")).To(gexec.Exit(0))
		says(ctx, following, "argument=two")
		exits(ctx, following.Interrupt(), 0)
	}, limit)

	It("verifies a sound log, and names the line of one that was edited, with exit code 1", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "alice", "ECHO", "hello")).To(gexec.Exit(0))
		head := s.Stop(ctx)
		sound := c.Run(ctx, "", "log", "verify", s.Log())
		Expect(sound).To(gexec.Exit(0))
		Expect(stdout(sound)).To(MatchRegexp(`audit\.jsonl: \d+ lines, no --head checked, head ` + head + `\n$`))

		lines := strings.SplitAfter(s.LogText(), "\n")
		lines[3] = strings.Replace(lines[3], `"alice"`, `"mallory"`, 1)
		Expect(lines[3]).To(ContainSubstring("mallory"))
		c.Write("edited", strings.Join(lines, ""))
		edited := c.Run(ctx, "", "log", "verify", "edited")
		Expect(edited).To(gexec.Exit(1))
		Expect(stdout(edited)).To(MatchRegexp(`^edited:4: chain mismatch[^\n]*\n$`))
		Expect(stderr(edited)).To(BeEmpty())
	}, limit)

	It("verifies with the head that --head gives, and with nothing less", func(ctx SpecContext) {
		head := s.Stop(ctx)
		run := c.Run(ctx, "", "log", "verify", "--head", strings.ToUpper(head), s.Log())
		Expect(run).To(gexec.Exit(0))
		Expect(stdout(run)).To(MatchRegexp(`audit\.jsonl: \d+ lines, with that --head, head ` + head + `\n$`))
		for _, none := range []string{"", head[1:], head + "0", "x" + head[1:]} {
			Expect(c.Run(ctx, "", "log", "verify", "--head", none, s.Log())).To(failed(2, `--head is 64 hex digits, not "`+none+`"`))
		}
	}, limit)

	It("takes the log of the state directory where none is named", func(ctx SpecContext) {
		Expect(stdout(c.Run(ctx, "", "log", "show", "--state", s.state))).To(ContainSubstring("server.start"))
		verified := c.Run(ctx, "", "log", "verify", "--state", s.state)
		Expect(verified).To(gexec.Exit(0))
		Expect(stdout(verified)).To(HavePrefix(s.Log() + ": "))
		Expect(c.Run(ctx, "", "log", "verify")).To(failed(1, "sallyport/audit.jsonl: no such file"), "control")
	}, limit)
})
