package specs

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

var _ = Describe("The command's seat", Label("area:command", "area:admission", "promise:1", "promise:6"), func() {
	c := withCLI()

	DescribeTable("goes to the second client as soon as the first leaves",
		func(ctx SpecContext, leave func(alice *gexec.Session, in *os.File)) {
			s := c.Serve(ctx)
			alice, in := s.Seated(ctx, "alice")
			bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
			leave(alice, in)
			ended(ctx, bob)
			Expect(bob).To(did(0, "bob\n", "waiting: position 1 holder alice\n"))
		},
		Entry("with QUIT", func(_ *gexec.Session, in *os.File) { say(in, "QUIT\n") }, limit),
		Entry("at the end of its input", func(_ *gexec.Session, in *os.File) { Expect(in.Close()).To(Succeed()) }, limit),
		Entry("by kill -9", func(alice *gexec.Session, _ *os.File) { alice.Kill() }, limit),
	)

	It("goes to the second client when a hold is killed by kill -9", func(ctx SpecContext) {
		s := c.Serve(ctx)
		alice, in := c.Piped(s.As("hold", "alice", "--", "cat")...)
		say(in, "seated\n")
		says(ctx, alice, "seated\n")
		bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
		alice.Kill()
		exits(ctx, bob, 0)
		Expect(stdout(bob)).To(Equal("bob\n"))
	}, limit)

	It("is refused to the second client under --admission reject", func(ctx SpecContext) {
		s := c.Serve(ctx, "--admission", "reject")
		_, in := s.Seated(ctx, "alice")
		Expect(s.Connect(ctx, "bob", "WHOAMI")).To(failed(5, "421 busy "))
		Expect(c.Run(ctx, "", s.As("hold", "bob", "--", "touch", "ran")...)).To(failed(5, "421 busy "))
		Expect(c.Path("ran")).NotTo(BeAnExistingFile())
		Expect(in.Close()).To(Succeed())
		Eventually(ctx, func() *gexec.Session { return s.Connect(ctx, "bob", "WHOAMI") }).Should(printed("bob\n"))
	}, limit)

	When("another client takes over", func() {
		s := c.withServer("--admission", "takeover")

		takeOver := func(ctx SpecContext) {
			GinkgoHelper()
			Expect(s.Connect(ctx, "bob", "WHOAMI")).To(did(0, "bob\n", Or(BeEmpty(), HavePrefix("waiting: "))))
		}

		It("is taken from the first client, which ends at once", func(ctx SpecContext) {
			alice, _ := s.Seated(ctx, "alice")
			takeOver(ctx)
			exits(ctx, alice, 5)
			Expect(stderr(alice)).To(MatchRegexp(`^sallyport connect: 421 evicted [^\n]*\n$`))
		}, limit)

		It("is taken from a hold, whose command is ended", func(ctx SpecContext) {
			alice, _ := c.Piped(s.As("hold", "alice", "--", "sh", "-c", "echo $$; exec cat")...)
			says(ctx, alice, `\d+\n`)
			pid, err := strconv.Atoi(strings.TrimSpace(stdout(alice)))
			Expect(err).NotTo(HaveOccurred())
			child, err := os.FindProcess(pid)
			Expect(err).NotTo(HaveOccurred())
			Expect(child.Signal(syscall.Signal(0))).To(Succeed(), "control: it runs")
			takeOver(ctx)
			exits(ctx, alice, 5)
			Expect(stderr(alice)).To(MatchRegexp(`^sallyport hold: the seat was lost: 421 evicted [^\n]*\n$`))
			Expect(child.Signal(syscall.Signal(0))).NotTo(Succeed())
		}, limit)
	})
})

var _ = Describe("The command hold", Label("area:command", "promise:1"), func() {
	c := withCLI()
	s := c.withServer()

	It("runs commands one after the other", func(ctx SpecContext) {
		mark := func(name string) []string {
			return s.As("hold", name, "--", "sh", "-c", "echo start $0 >> marks; read line; echo end $0 >> marks", name)
		}
		alice, in := c.Piped(mark("alice")...)
		Eventually(ctx, func() string { return c.Read("marks") }).Should(Equal("start alice\n"))
		bob, bobsIn := c.Piped(mark("bob")...)
		say(bobsIn, "go\n")
		says(ctx, bob.Err, "waiting: position 1 holder alice\n")
		Expect(c.Read("marks")).To(Equal("start alice\n"))
		say(in, "go\n")
		exits(ctx, alice, 0)
		exits(ctx, bob, 0)
		Expect(c.Read("marks")).To(Equal("start alice\nend alice\nstart bob\nend bob\n"))
	}, limit)

	It("passes standard input, output and error through", func(ctx SpecContext) {
		Expect(c.Run(ctx, "to the command\n", s.As("hold", "alice", "--", "sh", "-c", "cat; echo aside >&2")...)).To(did(0, "to the command\n", "aside\n"))
	}, limit)

	DescribeTable("leaves with the command's exit code, and prints nothing", func(ctx SpecContext, script string, code int) {
		Expect(c.Run(ctx, "", s.As("hold", "alice", "--", "sh", "-c", script)...)).To(did(code, "", ""))
	},
		Entry("0", "exit 0", 0, limit),
		Entry("7", "exit 7", 7, limit),
		Entry("after SIGTERM", "kill -TERM $$", 128+15, limit),
		Entry("after SIGKILL", "kill -KILL $$", 128+9, limit),
	)

	It("asks for no seat if there is no such command", func(ctx SpecContext) {
		Expect(c.Run(ctx, "", s.As("hold", "alice", "--", "no-such-command")...)).To(failed(1, `"no-such-command": executable file not found`))
		Expect(s.LogText()).NotTo(ContainSubstring("conn.accept"))
	}, limit)

	DescribeTable("passes a signal on, and leaves with the command's exit code",
		func(ctx SpecContext, script string, code int, complaint string) {
			alice, _ := c.Piped(s.As("hold", "alice", "--", "sh", "-c", script)...)
			says(ctx, alice, "seated\n")
			ended(ctx, alice.Terminate())
			Expect(alice).To(did(code, "seated\n", complaint))
			Expect(s.Connect(ctx, "bob", "--no-wait", "WHOAMI")).To(printed("bob\n"))
		},
		Entry("to the command, which dies of it", "echo seated; exec cat", 128+15, "", limit),
		Entry("to the command, which ends by itself", "trap 'exit 7' TERM; echo seated; while :; do read line; done", 7, "", limit),
		Entry("to the command, which ends well", "trap 'exit 0' TERM; echo seated; while :; do read line; done", 0, "", limit),
		Entry("to what the command has started",
			"trap '' TERM; (trap 'echo caught >&2; exit' TERM; echo seated; while :; do read line; done); exit 5", 5, "caught\n", limit),
	)

	It("explains which limits of the server end it", func(ctx SpecContext) {
		Expect(stdout(c.Run(ctx, "", "hold", "--help"))).To(SatisfyAll(
			ContainSubstring("--queue-wait"), ContainSubstring("--session-limit"), ContainSubstring("--idle-timeout")))
	}, limit)
})
