//go:build !windows

package specs

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("An interactive connect, at Ctrl-C,", Label("area:command", "area:terminal", "command:ctrl-c"), func() {
	c := withCLI()
	s := c.withServer()
	var alice *terminal
	BeforeEach(func(ctx SpecContext) {
		alice = c.Terminal(s.As("connect", "alice")...)
		says(ctx, alice, "seated at "+s.addr+".*\r\n> ")
	}, limitOfNode)

	It("clears a line that is typed", func(ctx SpecContext) {
		alice.Type("ECHO one" + ctrlC + "ECHO two\r")
		says(ctx, alice, "[^ ]two\r\n")
		alice.Type(ctrlD)
		Expect(alice.ExitCode(ctx)).To(Equal(0))
		Expect(strings.Count(s.LogText(), `"verb":"ECHO"`)).To(Equal(1))
	}, limit)

	It("leaves with 1 if nothing is typed, and sends nothing that comes after", func(ctx SpecContext) {
		alice.Type(ctrlC + "ECHO one\r")
		Expect(alice.ExitCode(ctx)).To(Equal(1))
		Expect(alice.Shown()).To(HaveSuffix("\r\x1b[K"), "no prompt remains")
		Eventually(ctx, s.LogText).Should(MatchRegexp(`"event":"session.close","conn":"[^"]*","reason":"quit"`))
		Expect(s.LogText()).NotTo(ContainSubstring("ECHO"))
	}, limit)
})
