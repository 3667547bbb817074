package specs

import (
	"os"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

var _ = Describe("The command serve, at a signal", Label("area:command", "promise:7"), func() {
	c := withCLI()

	When("it is SIGTERM", func() {
		It("informs the client that has the seat and the one that waits, and ends with 0 and the log's head", func(ctx SpecContext) {
			s := c.Serve(ctx)
			alice, _ := s.Seated(ctx, "alice")
			bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
			head := s.Stop(ctx)
			exits(ctx, bob, 1)
			Expect(stderr(bob)).To(MatchRegexp(`\nsallyport connect: [^\n]*421 shutdown [^\n]*\n$`))
			exits(ctx, alice, 1)
			Expect(stderr(alice)).To(MatchRegexp(`^sallyport connect: 421 shutdown [^\n]*\n$`))

			Expect(c.Run(ctx, "", "log", "verify", "--head", head, s.Log())).To(gexec.Exit(0))
			lines := strings.SplitAfter(s.LogText(), "\n")
			c.Write("cut", strings.Join(lines[:len(lines)-2], ""))
			Expect(c.Run(ctx, "", "log", "verify", "cut")).To(gexec.Exit(0))
			Expect(c.Run(ctx, "", "log", "verify", "--head", head, "cut")).To(gexec.Exit(1), "control: a cut tail")
		}, limit)

		It("waits for a stream that is open", func(ctx SpecContext) {
			s := c.Serve(ctx, "--backend", "tcp:"+device("tcp", "127.0.0.1:0"), "--shutdown-grace", "1h")
			alice, in := c.Piped(s.As("connect", "alice", "--open")...)
			say(in, "first\n")
			says(ctx, alice, "ok first\n")
			says(ctx, s.Terminate().Err, "shutting down\n")
			Eventually(ctx, func() *gexec.Session { return s.Connect(ctx, "bob", "WHOAMI") }).Should(gexec.Exit(3), "no client gets in")
			say(in, "second\n")
			says(ctx, alice, "ok second\n")
			Expect(s.Session).NotTo(gexec.Exit())
			Expect(in.Close()).To(Succeed())
			exits(ctx, alice, 0)
			exits(ctx, s.Session, 0)
		}, limit)

		DescribeTable("cuts a stream off",
			func(ctx SpecContext, grace string, again bool) {
				s := c.Serve(ctx, "--backend", "tcp:"+device("tcp", "127.0.0.1:0"), "--shutdown-grace", grace)
				alice, in := c.Piped(s.As("connect", "alice", "--open")...)
				say(in, "first\n")
				says(ctx, alice, "ok first\n")
				says(ctx, s.Terminate().Err, "shutting down\n")
				if again {
					s.Terminate()
				}
				exits(ctx, s.Session, 0)
				Expect(stderr(s.Session)).To(ContainSubstring("a request was still running and was cut off"))
				exits(ctx, alice, 1)
				Expect(stderr(alice)).To(MatchRegexp(`^(notice: the server shuts down[^\n]*\n)?sallyport connect: [^\n]+\n$`))
				Expect(c.Run(ctx, "", "log", "verify", s.Log())).To(gexec.Exit(0))
			},
			Entry("when its grace is over", "50ms", false, limit),
			Entry("at a second one", "1h", true, limit),
		)
	})

	DescribeTable("ends however early the signal comes", func(ctx SpecContext, signal os.Signal) {
		s := c.Start("serve", "--listen", "127.0.0.1:0", "--state", "state")
		says(ctx, s.Err, "listening on ")
		exits(ctx, s.Signal(signal), 0)
		Expect(stderr(s)).To(MatchRegexp(`\nshutting down\nlog head [0-9a-f]{64}\n$`))
		verified := c.Run(ctx, "", "log", "verify", "state/audit.jsonl")
		Expect(verified).To(gexec.Exit(0))
	},
		Entry("SIGTERM", syscall.SIGTERM, limit),
		Entry("SIGINT", os.Interrupt, limit),
	)

	When("it is SIGHUP", func() {
		hup := func(ctx SpecContext, s *service) {
			GinkgoHelper()
			says(ctx, s.Signal(syscall.SIGHUP).Err, "reloaded certificate, users and log file")
		}

		It("serves a new certificate", func(ctx SpecContext) {
			s := c.Serve(ctx)
			Expect(c.Run(ctx, "", "cert", "new", "--state", "state", "--host", "rig.example", "--host", "192.0.2.7")).To(SatisfyAll(
				gexec.Exit(0), WithTransform(stderr, ContainSubstring(" for rig.example, 192.0.2.7, localhost, 127.0.0.1, ::1;"))))
			named := []string{"--server-name", "rig.example", "WHOAMI"}
			Expect(s.Connect(ctx, "alice", named...)).To(failed(3, "rig.example"), "control: not before")
			hup(ctx, s)
			Expect(s.Connect(ctx, "alice", named...)).To(printed("alice\n"))
			Expect(s.Connect(ctx, "alice", "--server-name", "localhost", "WHOAMI")).To(printed("alice\n"), "those on this machine aren't locked out")
		}, limit)

		It("keeps its certificate if the new one is invalid, and says so", func(ctx SpecContext) {
			s := c.Serve(ctx)
			c.Write("state/cert.pem", "garbage")
			says(ctx, s.Signal(syscall.SIGHUP).Err, "reload: what failed stays as it was.*cert.pem")
			Expect(s.Connect(ctx, "alice", "WHOAMI")).To(printed("alice\n"))
		}, limit)
	})

	It("needs no signal to see that users were added, changed and removed", func(ctx SpecContext) {
		s := c.Serve(ctx)
		c.Write("carol.pw", "her password\n")
		Expect(s.Connect(ctx, "carol", "WHOAMI")).To(failed(4, "535 login-failed "), "control: not before")
		c.AddUser(ctx, s.state, "carol")
		Expect(s.Connect(ctx, "carol", "WHOAMI")).To(printed("carol\n"))
		Expect(c.Run(ctx, "a new one\n", "user", "passwd", "carol", "--password-stdin", "--state", "state", "--iterations", "4096")).To(printed(""))
		Expect(s.Connect(ctx, "carol", "WHOAMI")).To(failed(4, "535 login-failed "))
		c.Write("carol.pw", "a new one\n")
		Expect(s.Connect(ctx, "carol", "WHOAMI")).To(printed("carol\n"))
		Expect(c.Run(ctx, "", "user", "remove", "carol", "--state", "state")).To(
			did(0, "", MatchRegexp("^removed carol, .* a session that runs goes on: .* evict --user carol --state state ends it\n$")))
		Expect(s.Connect(ctx, "carol", "WHOAMI")).To(failed(4, "535 login-failed "))
	}, limit)

	It("accepts users in a file of Windows, with a byte order mark and CRLF", func(ctx SpecContext) {
		s := c.Serve(ctx)
		c.Write("state/users", "\ufeff"+strings.ReplaceAll(c.Read("state/users"), "\n", "\r\n"))
		for _, name := range []string{"alice", "bob"} {
			Expect(s.Connect(ctx, name, "WHOAMI")).To(printed(name + "\n"))
		}
		Expect(stderr(s.Session)).NotTo(ContainSubstring("state/users:"))
	}, limit)

	It("keeps the users that it can't read any more, and has none where there is no file", Label("battery:36"), func(ctx SpecContext) {
		s := c.Serve(ctx)
		Expect(os.Rename(c.Path("state/users"), c.Path("users"))).To(Succeed())
		Expect(os.Mkdir(c.Path("state/users"), 0o700)).To(Succeed())
		Expect(s.Connect(ctx, "alice", "WHOAMI")).To(printed("alice\n"))
		says(ctx, s.Err, "level=ERROR msg=users error=.*the users of the last reading count until ")
		Expect(os.Remove(c.Path("state/users"))).To(Succeed())
		Expect(s.Connect(ctx, "alice", "WHOAMI")).To(failed(4, "535 login-failed "))
		Expect(os.Mkdir(c.Path("state/users"), 0o700)).To(Succeed())
		Expect(s.Connect(ctx, "alice", "WHOAMI")).To(failed(1, "454 temporary the users can't be read now, try again later"))
		Expect(os.Remove(c.Path("state/users"))).To(Succeed())
		Expect(os.Rename(c.Path("users"), c.Path("state/users"))).To(Succeed())
		Expect(s.Connect(ctx, "alice", "WHOAMI")).To(printed("alice\n"))
	}, limit)
})
