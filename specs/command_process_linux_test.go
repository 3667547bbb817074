package specs

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

const (
	// leavesBehind is a command that starts a process in another session, which ignores SIGTERM, and waits for a line.
	// In the next session it says whether that process runs.
	leavesBehind = `
	[ ! -s pid ] || { kill -0 $(cat pid) 2>/dev/null && echo two drivers || echo alone; }
	(setsid sh -c 'trap "" TERM HUP; echo $$ >pid; echo ready; while :; do sleep 1; done' &)
	read line`
	// staysItself is a command that does not notice the end of its input.
	staysItself = `trap "" HUP;` + leavesBehind + `; while :; do sleep 1; done`
)

// pid returns the pid that leavesBehind has written.
func (c *cli) pid() int {
	GinkgoHelper()
	pid, err := strconv.Atoi(strings.TrimSpace(c.Read("pid")))
	Expect(err).NotTo(HaveOccurred())
	return pid
}

var _ = Describe("A command as the backend", Label("area:command", "area:stream", "area:backend"), func() {
	c := withCLI()

	It("answers on its standard output, and its standard error is the operator's", func(ctx SpecContext) {
		s := c.Serve(ctx, "--backend", `exec:while read line; do echo "ok $line"; done; printf '\033[2Jbye\n' >&2; echo the end`)
		Expect(c.Run(ctx, "one\ntwo\n", s.As("connect", "alice", "--open")...)).To(printed("ok one\nok two\nthe end\n"))
		says(ctx, s.Err, `backend: .*bye\n`)
		Expect(stderr(s.Session)).To(ContainSubstring(`backend: \x1b[2Jbye`), "a terminal does not obey it")
	}, limit)

	DescribeTable("leaves nothing behind", Label("slow"), func(ctx SpecContext, kind string, end func(context.Context, *service, *os.File)) {
		s := c.Serve(ctx, "--admission", "takeover", "--backend", kind+leavesBehind)
		alice, in := c.Piped(s.As("connect", "alice", "--open")...)
		says(ctx, alice, `ready\r?\n`)
		Expect(runs(c.pid())).To(BeTrue(), "control: it runs")
		end(ctx, s, in)
		bob, in := c.Piped(s.As("connect", "bob", "--open")...)
		says(ctx, bob, `ready\r?\n`)
		Expect(stdout(bob)).To(HavePrefix("alone"), "it had ended before bob was seated")
		say(in, "end\n")
		ended(ctx, bob)
		ended(ctx, alice)
		Eventually(ctx, func() bool { return runs(c.pid()) }).Should(BeFalse())
	},
		Entry("when it ends", "exec:", func(_ context.Context, _ *service, in *os.File) { say(in, "end\n") }, limit),
		Entry("when the client has ended its input", "exec:", func(_ context.Context, _ *service, in *os.File) { Expect(in.Close()).To(Succeed()) }, limit),
		Entry("when its client is evicted", "exec:", func(context.Context, *service, *os.File) {}, limit),
		Entry("when its terminal's client is evicted", "pty:", func(context.Context, *service, *os.File) {}, limit),
	)

	DescribeTable("ends with the server, though that is killed", Label("slow"), func(ctx SpecContext, kind string) {
		s := c.Serve(ctx, "--backend", kind+staysItself)
		alice, _ := c.Piped(s.As("connect", "alice", "--open")...)
		says(ctx, alice, `ready\r?\n`)
		Expect(runs(c.pid())).To(BeTrue(), "control: it runs")
		ended(ctx, s.Kill())
		Eventually(ctx, func() bool { return runs(c.pid()) }).Should(BeFalse())
		ended(ctx, alice)
	},
		Entry("with pipes", "exec:", limit),
		Entry("on a terminal", "pty:", limit),
	)

	It("has its own environment, and none of the server's descriptors", func(ctx SpecContext) {
		s := c.With("LANG=C.UTF-8", "SALLYPORT_QUEUE_DEPTH=3").Serve(ctx, "--backend", `exec:tr '\0' '\n' </proc/$$/environ; ls -1 /proc/$$/fd`)
		run := s.Connect(ctx, "alice", "--open")
		Expect(run).To(did(0, MatchRegexp(`^PATH=.*\nHOME=.*\nLANG=C.UTF-8\nTERM=dumb\nSALLYPORT_USER=alice\nSALLYPORT_CONN=\w+-\d+\n0\n1\n2\n$`), ""))
		conn := regexp.MustCompile(`SALLYPORT_CONN=(.*)`).FindStringSubmatch(stdout(run))[1]
		Expect(s.LogText()).To(MatchRegexp(`"event":"stream.open","conn":"%s"`, conn))
		Expect(stdout(run)).To(ContainSubstring("\nHOME=" + c.home + "\n"))
	}, limit)

	It("can read what is the server's, of which the operator is warned", Label("control"), func(ctx SpecContext) {
		s := c.Serve(ctx, "--backend", "exec:cat state/key.pem; id -u")
		Expect(s.Connect(ctx, "alice", "--open")).To(did(0, SatisfyAll(
			ContainSubstring("PRIVATE KEY"), HaveSuffix("\n"+strconv.Itoa(os.Getuid())+"\n")), ""))
		Expect(stderr(s.Session)).To(MatchRegexp(`level=WARN msg="the backend's command can read this server's keys [^\n]*--backend-user`))
	}, limit)

	When("it is another user's", func() {
		BeforeEach(func() {
			if os.Getuid() != 0 {
				Skip("only root can start it")
			}
		})

		DescribeTable("can't read what is the server's", func(ctx SpecContext, kind string) {
			// The way to the state directory is open, as it is to /var/lib.
			Expect(os.Chmod(c.home, 0o755)).To(Succeed())
			s := c.Serve(ctx, "--backend-user", "nobody", "--backend", kind+
				"id -un; ls "+c.Path("state")+" && echo read; cat "+c.Path("state/key.pem")+" && echo read; kill -9 $PPID && echo killed; cat /proc/$PPID/environ && echo read; echo $HOME; pwd")
			run := s.Connect(ctx, "alice", "--open", "--linger", "1m") // at the end of the input a terminal ends
			Expect(run).To(gexec.Exit(0))
			Expect(strings.ReplaceAll(stdout(run), "\r", "")).To(SatisfyAll(
				HavePrefix("nobody\n"), HaveSuffix("/nonexistent\n/\n"), Not(ContainSubstring("read\n")), Not(ContainSubstring("killed\n"))))
			Expect(stderr(s.Session)).NotTo(ContainSubstring("can read this server's keys"))
		},
			Entry("with pipes", "exec:", limit),
			Entry("on a terminal", "pty:", limit),
		)
	})
})
