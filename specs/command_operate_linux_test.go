package specs

import (
	"net"
	"os"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

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

	It("does not wait for a reload that hangs", func(ctx SpecContext) {
		c := newCLI()
		Expect(c.Run(ctx, "secret\n", "user", "add", "--state", "other", "--password-stdin", "alice")).To(gexec.Exit(0), "makes a CA")
		cas := c.Path("other/ca.pem")
		s := c.Serve(ctx, "--client-ca", cas)
		Expect(os.Remove(cas)).To(Succeed())
		Expect(syscall.Mkfifo(cas, 0o600)).To(Succeed()) // a file whose reader waits for ever, as for a lost disk
		s.Signal(syscall.SIGHUP)
		Eventually(ctx, func() error {
			pipe, err := os.OpenFile(cas, os.O_WRONLY|syscall.O_NONBLOCK, 0)
			if err == nil {
				DeferCleanup(pipe.Close)
			}
			return err
		}).Should(Succeed(), "the reload reads")
		Expect(s.operate(ctx, "stop", "--now")).To(printed("stopped\n"))
		exits(ctx, s.Session, 0)
	}, limit)

	It("seats no client once the shutdown has begun, also while it waits for strangers", func(ctx SpecContext) {
		s := newCLI().Serve(ctx)
		alice, in := s.Seated(ctx, "alice")
		bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
		stranger, err := net.Dial("tcp", s.addr)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(stranger.Close)
		Eventually(ctx, func() string { return stdout(s.operate(ctx, "status", "--json")) }).Should(MatchRegexp(`"lobby": ?1\b`))
		says(ctx, s.Terminate().Err, "shutting down\n")
		Expect(in.Close()).To(Succeed())
		ended(ctx, alice) // which may be before the server sends 421 shutdown
		exits(ctx, bob, 1)
		Expect(stderr(bob)).To(ContainSubstring("421 shutdown "))
		exits(ctx, s.Session, 0)
		Expect(s.LogText()).NotTo(MatchRegexp(`"session.open"[^\n]*"bob"`))
	}, limit)
})
