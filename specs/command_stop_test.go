package specs

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("The command stop", Label("area:command", "area:control"), func() {
	c := withCLI()

	It("says for whom it waits, and another one with --now cuts that off", func(ctx SpecContext) {
		s := c.Serve(ctx, "--backend", "exec:cat", "--shutdown-grace", "1m")
		alice, in := c.Piped(s.As("connect", "alice", "--open")...)
		say(in, "hello\n")
		says(ctx, alice, "hello\n")
		stop := c.Start("stop", "--state", s.state)
		says(ctx, stop.Err, "^waiting for STREAM of alice, 1m0s at most: sallyport stop --now cuts it off\n$")
		Expect(s.operate(ctx, "stop", "--now")).To(printed("stopped\n"))
		exits(ctx, stop, 0)
		Expect(stdout(stop)).To(Equal("stopped\n"))
		ended(ctx, alice)
	}, limit)
})
