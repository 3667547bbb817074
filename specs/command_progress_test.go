//go:build !windows

package specs

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("The command replay on a terminal", Label("area:command", "area:scenarios"), func() {
	It("tells how far it is, shows what failed, and leaves the summary", func(ctx SpecContext) {
		c := newCLI()
		c.Scenario("a", goodScenario)
		c.Scenario("b", badReply)
		c.Scenario("c", endless)
		t := c.Terminal("replay", "--timeout", "1h", "--parallel", "1", "mine")
		says(ctx, t, `^0 of 3, 0 failed`)
		says(ctx, t, `\r\x1b\[K1 of 3, 0 failed, \d+ s left`)
		says(ctx, t, `\r\x1b\[KFAIL  b \(.*\)\r\n +mine/b.txtar:4: `)
		says(ctx, t, `2 of 3, 1 failed, \d+ s left`)
		t.Type("\x03")
		Expect(t.ExitCode(ctx)).To(Equal(1))
		says(ctx, t, `\r\x1b\[K1 passed, 1 failed, 0 skipped in \S+ s\r\n  1 not run\r\n`)
		Expect(t.Shown()).NotTo(ContainSubstring("ok    a"))
	}, limit)
})
