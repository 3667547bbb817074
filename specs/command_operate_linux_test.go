package specs

import (
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	states "github.com/sallyport/sallyport/server/state"
)

var _ = Describe("The command stop", Label("area:command", "area:control", "promise:7"), func() {
	It("waits for a server that a client keeps from its end", func(ctx SpecContext) {
		s := newCLI().Serve(ctx)
		alice, _ := s.Seated(ctx, "alice")
		alice.Signal(syscall.SIGSTOP) // so the server waits a second for the end of the connection
		Expect(s.operate(ctx, "stop")).To(printed("stopped\n"))
		Expect(states.Paths{Dir: s.state}.Locked()).To(BeFalse(), "the next server can start")
		alice.Signal(syscall.SIGCONT)
		exits(ctx, alice, 1)
		Expect(stderr(alice)).To(ContainSubstring("421 shutdown "))
	}, limit)
})
