//go:build !windows

package specs

import (
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("The command for a person", Label("area:command", "area:terminal", "command:face"), func() {
	c := withCLI()

	It("wraps its help to the width of the terminal", func(ctx SpecContext) {
		widest := func(columns uint16) (width int) {
			t := onTerminalOf(columns, c.command("serve", "--help"))
			Expect(t.ExitCode(ctx)).To(Equal(0))
			flags := false // until then indented lines are tables and commands, which stay as they are
			for line := range strings.Lines(t.Shown()) {
				line = strings.TrimRight(line, "\r\n")
				flags = flags || strings.HasSuffix(line, "Limits:")
				if flags || !strings.HasPrefix(line, "  ") {
					width = max(width, len(line))
				}
			}
			Expect(flags).To(BeTrue())
			return width
		}
		Expect(widest(60)).To(BeNumerically("<=", 60))
		Expect(widest(100)).To(And(BeNumerically(">", 80), BeNumerically("<=", 100)))
		Expect(widest(300)).To(And(BeNumerically(">", 80), BeNumerically("<=", 110)), "longer lines are hard to read")
	}, limit)

	When("it is an interactive connect", func() {
		s := c.withServer()
		var alice *terminal
		BeforeEach(func(ctx SpecContext) {
			alice = c.Terminal(s.As("connect", "alice")...)
			says(ctx, alice, `seated at .*; \? lists the verbs, Tab completes one, exit or Ctrl-D leaves\r\n> `)
		}, limitOfNode)

		It("lists the verbs at ?", func(ctx SpecContext) {
			alice.Type("?\r")
			says(ctx, alice, `ECHO.*\r\n`)
			says(ctx, alice, `WHOAMI.*\r\n`)
		}, limit)

		It("completes a verb at Tab, and shows them where there are several", func(ctx SpecContext) {
			alice.Type("who\t\r")
			says(ctx, alice, `WHOAMI .*\r\n`)
			says(ctx, alice, `alice\r\n`)
			alice.Type("\t")
			says(ctx, alice, `ECHO  HELP  NOOP  .*  WHOAMI\r\n`)
			alice.Type("ec\tto all\r")
			says(ctx, alice, `to all\r\n.*to all\r\n`)
			alice.Type("nosuch\t\r")
			says(ctx, alice, "! 500 unknown-command")
			alice.Type(ctrlD)
			Expect(alice.ExitCode(ctx)).To(Equal(0))
			Expect(strings.Count(s.LogText(), `"verb":"HELP"`)).To(Equal(1), "it asks once")
		}, limit)

		It("takes the keys that follow a Tab while a request hangs", func(ctx SpecContext) {
			alice.Type("TIME\r")
			says(ctx, alice, `T.*Z\r\n`)
			s.Freeze(ctx)
			alice.Type("TIME\rec\t" + ctrlC + ctrlC)
			Expect(alice.ExitCode(ctx)).To(Equal(1))
		}, limit)
	})

	DescribeTable("ends serve --chat without a staircase", func(ctx SpecContext, end func(*terminal)) {
		operator := c.Terminal("serve", "--chat", "--listen", "127.0.0.1:0", "--state", "state")
		says(ctx, operator, "chat> ")
		end(operator)
		Expect(operator.ExitCode(ctx)).To(Equal(0))
		Expect(operator.Shown()).NotTo(MatchRegexp(`[^\r]\n`))
		_, last, _ := strings.Cut(operator.Shown(), "shutting down")
		Expect(last).To(MatchRegexp(`^\r\n(half a line)?\r\x1b\[Klog head [0-9a-f]{64}\r\n$`), "no prompt is left over")
		Expect(operator.Mode()).To(Equal(untouched()))
	},
		Entry("at Ctrl-C", func(t *terminal) { t.Type("half a line" + ctrlC + ctrlC) }, limit),
		Entry("at SIGTERM", func(t *terminal) { Expect(t.cmd.Process.Signal(syscall.SIGTERM)).To(Succeed()) }, limit),
	)
})
