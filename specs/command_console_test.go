//go:build !windows

package specs

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/creack/pty"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	"golang.org/x/term"
)

const (
	escape = "\x1d"
	ctrlZ  = "\x1a"
)

// shower is a service that shows each byte that it gets, as <03>. At "!" it ends, and at "#" it resets.
func shower() string {
	GinkgoHelper()
	return listener("tcp", "127.0.0.1:0", func(conn net.Conn) {
		for in := bufio.NewReader(conn); ; {
			switch b, err := in.ReadByte(); {
			case err != nil || b == '!':
				return
			case b == '#':
				_ = conn.(*net.TCPConn).SetLinger(0)
				return
			default:
				_, _ = fmt.Fprintf(conn, "<%02x>", b)
			}
		}
	})
}

// shown returns what a shower says of these bytes, as a pattern.
func shown(typed string) string {
	var out strings.Builder
	for _, b := range []byte(typed) {
		fmt.Fprintf(&out, "<%02x>", b)
	}
	return out.String()
}

var _ = Describe("The command's console", Label("area:command", "area:terminal", "area:stream"), func() {
	c := withCLI()
	var s *service
	var alice *terminal

	// console starts connect --open on a terminal, and returns when it is seated.
	console := func(ctx SpecContext, args ...string) *terminal {
		GinkgoHelper()
		t := c.Terminal(append(s.As("connect", "alice", "--open"), args...)...)
		says(ctx, t, "seated at "+s.addr+", [^\r\n]+\r\n")
		return t
	}
	serve := func(ctx SpecContext, flags ...string) {
		GinkgoHelper()
		s = c.Serve(ctx, append([]string{"--backend", "tcp:" + shower()}, flags...)...)
	}

	When("it is seated", func() {
		BeforeEach(func(ctx SpecContext) {
			serve(ctx)
			alice = console(ctx)
		}, limitOfNode)

		It("passes on every key as it is", func(ctx SpecContext) {
			const keys = "\x00" + ctrlC + ctrlD + "\x08\t\n\x0f\r\x11\x12\x13\x15\x16" + ctrlZ + "\x1b[A\x1c\x7f é\xff"
			alice.Type(keys)
			says(ctx, alice, shown(keys))
			Expect(alice.Shown()).NotTo(ContainSubstring("^C"), "nothing is echoed")
		}, limit)

		It("says how to leave, and Ctrl-] q does", func(ctx SpecContext) {
			Expect(alice.Shown()).To(HavePrefix("seated at " + s.addr + ", escape is Ctrl-]\r\n"))
			alice.Type("exit\r")
			says(ctx, alice, shown("exit\r"))
			alice.Type(escape)
			says(ctx, alice, "\r\nq quit, b break, l line speed, w who waits, [?] help: ")
			alice.Type("q")
			Expect(alice.ExitCode(ctx)).To(Equal(0))
			Expect(alice.Shown()).To(HaveSuffix("help: \r\n"))
			Eventually(ctx, s.LogText).Should(MatchRegexp(`"event":"session.close","conn":"[^"]*","reason":"quit"`))
		}, limit)

		It("has a menu, whose keys the backend doesn't get", func(ctx SpecContext) {
			alice.Type("a")
			says(ctx, alice, "<61>")
			alice.Type(escape + "?")
			says(ctx, alice, "^\r\nq quit.*: \r\nCtrl-] and then\r\n  q .*\r\n(  .*\r\n)*  Enter .*\r\n")
			alice.Type("b")
			says(ctx, alice, "<62>")
			alice.Type(escape + "b")
			says(ctx, alice, "^\r\n.*\r\nsent a break: .*\r\n")
			alice.Type(escape + "l")
			says(ctx, alice, "speed and form, such as .*: ")
			alice.Type("9601\x7f0,7e1\r")
			says(ctx, alice, "9601\b \b0,7e1\r\nsent 9600,7e1: a serial line has it until .*\r\n")
			alice.Type(escape + "lfast\r")
			says(ctx, alice, "fast\r\nfast,8N1 is no speed and form: .*\r\n")
			alice.Type(escape + "w")
			says(ctx, alice, "nobody is waiting\r\n")
			alice.Type(escape + "\r" + escape + escape)
			says(ctx, alice, shown(escape))
			alice.Type("c")
			says(ctx, alice, "<63>")
			Expect(strings.Count(alice.Shown(), "<")).To(Equal(4), "a, b, the escape key and c")
		}, limit)

		It("says who waits", func(ctx SpecContext) {
			alice.Type("half a li")
			says(ctx, alice, shown("half a li"))
			bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
			says(ctx, alice, "^\r\n1 waiting\r\n")
			alice.Type(escape + "w")
			says(ctx, alice, ": \r\n1 waiting\r\n")
			bob.Kill()
			says(ctx, alice, "^0 waiting\r\n")
		}, limit)

		It("is told when the backend ends the stream", func(ctx SpecContext) {
			alice.Type("a!")
			Expect(alice.ExitCode(ctx)).To(Equal(0))
			Expect(alice.Shown()).To(HaveSuffix("<61>\r\nthe backend has ended the stream\r\n"))
			Expect(alice.Mode()).To(Equal(untouched()))
		}, limit)

		It("is raw again when it goes on after a stop, in which the shell has set its own mode", func(ctx SpecContext) {
			Expect(term.Restore(int(alice.keys.Fd()), untouched())).To(Succeed())
			Expect(alice.cmd.Process.Signal(syscall.SIGCONT)).To(Succeed())
			Eventually(ctx, alice.Mode).ShouldNot(Equal(untouched()))
			alice.Type(ctrlC)
			says(ctx, alice, shown(ctrlC))
		}, limit)
	})

	DescribeTable("says why it ended, and restores the terminal",
		func(ctx SpecContext, code int, why string, end func(ctx SpecContext), flags ...string) {
			serve(ctx, flags...)
			alice = console(ctx)
			Expect(alice.Mode()).NotTo(Equal(untouched()), "control: it is raw")
			alice.Type("x")
			says(ctx, alice, shown("x"))
			end(ctx)
			Expect(alice.ExitCode(ctx)).To(Equal(code))
			Expect(alice.Shown()).To(MatchRegexp(`<78>(\r\n)?(1 waiting\r\n|notice: [^\r]*\r\n)?` + why + `\r\n$`))
			Expect(alice.Mode()).To(Equal(untouched()))
		},
		Entry("after Ctrl-] q", 0, "q quit, .*: ", func(SpecContext) { alice.Type(escape + "q") }, limit),
		Entry("after SIGTERM", 1, "sallyport connect: terminated signal received", func(SpecContext) { alice.signal(syscall.SIGTERM) }, limit),
		Entry("after SIGHUP", 1, "sallyport connect: hangup signal received", func(SpecContext) { alice.signal(syscall.SIGHUP) }, limit),
		Entry("after SIGQUIT", 2, "(?s).*", func(SpecContext) { alice.signal(syscall.SIGQUIT) }, limit),
		Entry("when somebody takes over", 5, "sallyport connect: 421 evicted bob took over", func(ctx SpecContext) {
			Expect(s.Connect(ctx, "bob", "WHOAMI")).To(gexec.Exit(0))
		}, "--admission", "takeover", limit),
		Entry("when it was idle, which its pings don't hide", 1, "sallyport connect: 421 idle .*", func(SpecContext) {},
			"--idle-timeout", "2s", "--vanish-timeout", "3s", limit),
		Entry("at the session's limit", 1, "sallyport connect: 421 session-limit .*", func(SpecContext) {}, "--session-limit", "1s", limit),
		Entry("when the server stops", 1, "sallyport connect: 421 shutdown .*", func(ctx SpecContext) { s.Stop(ctx) }, "--shutdown-grace", "100ms", limit),
		Entry("when the server is killed", 1, "sallyport connect: .*connection lost.*", func(SpecContext) { s.Kill() }, limit),
		Entry("when the backend breaks", 6, "sallyport connect: the server has lost its backend: connect again when it is back; its operator finds the reason in the messages of the server", func(SpecContext) { alice.Type("#") }, limit),
	)

	It("is left in its mode if the backend can't be reached", func(ctx SpecContext) {
		s = c.Serve(ctx, "--backend", "tcp:"+unusedAddr)
		alice = c.Terminal(s.As("connect", "alice", "--open")...)
		Expect(alice.ExitCode(ctx)).To(Equal(6))
		Expect(alice.Shown()).To(MatchRegexp(`^sallyport connect: the server can't reach its backend\r\n$`))
		Expect(alice.Mode()).To(Equal(untouched()))
	}, limit)

	It("discards what is typed during the wait, and says so", func(ctx SpecContext) {
		serve(ctx)
		bob, in := s.Seated(ctx, "bob")
		alice = c.Terminal(s.As("connect", "alice", "--open")...)
		says(ctx, alice, "waiting: position 1 holder bob\r\n")
		alice.Type("reboot\rand half a line")
		says(ctx, alice, "reboot\r\nand half a line", "the terminal has echoed it")
		say(in, "QUIT\n")
		exits(ctx, bob, 0)
		says(ctx, alice, "what you typed while you waited was discarded\r\n")
		alice.Type("x")
		says(ctx, alice, "<78>")
		Expect(alice.Shown()).NotTo(ContainSubstring("<72>"))
	}, limit)

	It("waits for the seat first, and the messages go to standard error", func(ctx SpecContext) {
		serve(ctx)
		bob, in := s.Seated(ctx, "bob")
		args := s.As("connect", "alice", "--open", "--no-escape")
		shell := exec.Command("/bin/sh", append([]string{"-c", `exec "$0" "$@" 2>messages`, commandPath}, args...)...)
		shell.Dir, shell.Env = c.home, c.env
		alice = onTerminal(shell)
		messages := func() string { return c.Read("messages") }
		Eventually(ctx, messages).Should(Equal("waiting: position 1 holder bob\n"))
		Expect(alice.Mode()).To(Equal(untouched()), "Ctrl-C still ends it")
		say(in, "QUIT\n")
		exits(ctx, bob, 0)
		Eventually(ctx, messages).Should(HaveSuffix("\nseated at " + s.addr + ", without an escape key\n"))
		alice.Type(escape + "q" + escape + escape)
		says(ctx, alice, shown(escape+"q"+escape+escape))
		s.Waiting(ctx, "bob", "alice", "WHOAMI")
		Eventually(ctx, messages).Should(HaveSuffix("\n1 waiting\n"))
		Expect(alice.Shown()).To(Equal(shown(escape + "q" + escape + escape)))
		alice.signal(syscall.SIGTERM)
		Expect(alice.ExitCode(ctx)).To(Equal(1))
	}, limit)

	It("ends when the server falls silent, before that gives the seat away", Label("promise:6"), func(ctx SpecContext) {
		serve(ctx, "--vanish-timeout", "2s")
		alice = console(ctx)
		alice.Type("x")
		says(ctx, alice, shown("x"))
		Consistently(ctx, alice.done, "3s").ShouldNot(BeClosed(), "control: idleness is no silence")
		s.Freeze(ctx)
		Expect(alice.ExitCode(ctx)).To(Equal(1))
		Expect(alice.Shown()).To(HaveSuffix("<78>\r\nsallyport connect: the server has not answered in time, and may give the seat away\r\n"))
		Expect(alice.Mode()).To(Equal(untouched()))
	}, limit)

	It("drives a shell, which gets the size of the terminal and its signals", func(ctx SpecContext) {
		s = c.Serve(ctx, "--backend", "pty:/bin/sh")
		alice = console(ctx)
		alice.Type("stty size\r")
		says(ctx, alice, "24 250\r\n")
		Expect(pty.Setsize(alice.keys, &pty.Winsize{Rows: 31, Cols: 97})).To(Succeed())
		alice.Type(`while [ "$(stty size)" != "31 97" ]; do sleep 0.1; done; echo resized$((1 + 1))` + "\r")
		says(ctx, alice, "resized2\r\n")
		alice.Type("(trap 'echo got$((1 + 1)); exit' INT; echo armed$((1 + 1)); while :; do sleep 0.1; done)\r")
		says(ctx, alice, "armed2\r\n")
		alice.Type(ctrlC)
		says(ctx, alice, "got2\r\n")
		alice.Type("exit\r")
		Expect(alice.ExitCode(ctx)).To(Equal(0))
		Expect(alice.Shown()).To(HaveSuffix("\r\nthe backend has ended the stream\r\n"))
	}, limit)

	It("leaves a server that is silent when it is asked to", func(ctx SpecContext) {
		serve(ctx)
		alice = console(ctx)
		s.Freeze(ctx)
		alice.Type(escape + "q")
		Expect(alice.ExitCode(ctx)).To(Equal(1))
		Expect(alice.Shown()).To(HaveSuffix("interrupted: the server doesn't answer\r\n"))
	}, limit)
})

// signal sends a signal to the command.
func (t *terminal) signal(s os.Signal) {
	GinkgoHelper()
	Expect(t.cmd.Process.Signal(s)).To(Succeed())
}
