//go:build !windows

package specs

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/creack/pty"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"golang.org/x/term"
)

// terminal is a command on a terminal of its own, and what the terminal shows.
type terminal struct {
	cmd    *exec.Cmd
	keys   *os.File
	screen *gbytes.Buffer
	// done is closed when the command has ended.
	done chan struct{}
}

// Buffer lets gbytes.Say read the screen.
func (t *terminal) Buffer() *gbytes.Buffer { return t.screen }

// onTerminal starts a command on a wide terminal.
func onTerminal(cmd *exec.Cmd) *terminal {
	GinkgoHelper()
	return onTerminalOf(250, cmd)
}

// onTerminalOf starts a command on a terminal with this number of columns.
func onTerminalOf(columns uint16, cmd *exec.Cmd) *terminal {
	GinkgoHelper()
	keys, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: columns})
	Expect(err).NotTo(HaveOccurred())
	t := &terminal{cmd: cmd, keys: keys, screen: gbytes.NewBuffer(), done: make(chan struct{})}
	go func() {
		defer close(t.done)
		// The terminal's end is an error on Linux.
		_, _ = io.Copy(io.MultiWriter(t.screen, GinkgoWriter), keys)
		_ = cmd.Wait()
	}()
	DeferCleanup(func(ctx SpecContext) {
		_ = cmd.Process.Kill()
		Eventually(ctx, t.done).Should(BeClosed())
		_ = keys.Close()
	}, limitOfNode)
	return t
}

// Terminal runs the command on a terminal.
func (c *cli) Terminal(args ...string) *terminal {
	GinkgoHelper()
	return onTerminal(c.command(args...))
}

// Type types text, with \r for the Enter key.
func (t *terminal) Type(text string) {
	GinkgoHelper()
	say(t.keys, text)
}

// ExitCode waits for the command's end, and returns its exit code.
func (t *terminal) ExitCode(ctx SpecContext) int {
	GinkgoHelper()
	Eventually(ctx, t.done).Should(BeClosed())
	return t.cmd.ProcessState.ExitCode()
}

// Mode returns the settings of the terminal, such as echo.
func (t *terminal) Mode() *term.State {
	GinkgoHelper()
	mode, err := term.GetState(int(t.keys.Fd()))
	Expect(err).NotTo(HaveOccurred())
	return mode
}

// untouched returns the Mode of a new terminal.
func untouched() *term.State {
	GinkgoHelper()
	keys, screen, err := pty.Open()
	Expect(err).NotTo(HaveOccurred())
	defer keys.Close()
	defer screen.Close()
	return (&terminal{keys: keys}).Mode()
}

// Shown returns all that the terminal has shown.
func (t *terminal) Shown() string { return string(t.screen.Contents()) }

const (
	ctrlC  = "\x03"
	ctrlD  = "\x04"
	secret = "correct horse"
)

var _ = Describe("The command on a terminal", Label("area:command", "area:terminal"), func() {
	c := withCLI()

	// addAlice answers the two questions of user add.
	addAlice := func(ctx SpecContext, t *terminal, first, second string) {
		GinkgoHelper()
		says(ctx, t, "New password of alice: ")
		t.Type(first + "\r")
		says(ctx, t, "Once more: ")
		t.Type(second + "\r")
	}

	It("shows what is typed", Label("control"), func(ctx SpecContext) {
		t := onTerminal(exec.Command("cat"))
		t.Type(secret + "\r")
		says(ctx, t, secret)
	}, limit)

	When("it asks for a password", func() {
		It("asks twice and shows nothing of it", func(ctx SpecContext) {
			t := c.Terminal("user", "add", "alice", "--state", "state", "--iterations", "4096")
			addAlice(ctx, t, secret, secret)
			Expect(t.ExitCode(ctx)).To(Equal(0))
			Expect(t.Shown()).NotTo(ContainSubstring("horse"))

			s := c.ServeOn(ctx, c.Path("state"))
			c.Write("alice.pw", secret+"\n")
			Expect(s.Connect(ctx, "alice", "WHOAMI")).To(printed("alice\n"))
		}, limit)

		It("changes nothing if the two differ or one is empty", func(ctx SpecContext) {
			t := c.Terminal("user", "add", "alice", "--state", "state")
			addAlice(ctx, t, secret, secret+"!")
			Expect(t.ExitCode(ctx)).To(Equal(1))
			Expect(t.Shown()).To(ContainSubstring("the two passwords differ: nothing was changed"))
			t = c.Terminal("user", "add", "alice", "--state", "state")
			t.Type("\r")
			Expect(t.ExitCode(ctx)).To(Equal(1))
			Expect(t.Shown()).To(ContainSubstring("the password is empty"))
			Expect(c.Run(ctx, "", "user", "list", "--state", "state")).To(printed(""))
		}, limit)

		It("works as serve prints it, and then connect does as that prints it", func(ctx SpecContext) {
			server := c.Start("serve", "--listen", "127.0.0.1:0", "--state", "state")
			shell := func(line string) *terminal {
				cmd := exec.Command("/bin/sh", "-c", line)
				cmd.Dir, cmd.Env = c.home, c.env
				return onTerminal(cmd)
			}
			added := shell(awaitListening(ctx, server)[2])
			addAlice(ctx, added, secret, secret)
			Expect(added.ExitCode(ctx)).To(Equal(0))
			_, next, _ := strings.Cut(strings.TrimSpace(added.Shown()), "added alice; next: ")
			alice := shell(next)
			says(ctx, alice, "Password of alice: ")
			alice.Type(secret + "\r")
			says(ctx, alice, "seated at 127.0.0.1:")
			alice.Type(ctrlD)
			Expect(alice.ExitCode(ctx)).To(Equal(0))
			Expect(alice.Shown()).NotTo(ContainSubstring("horse"))
		}, limit)

		DescribeTable("restores the terminal if a signal ends it", func(ctx SpecContext, signal os.Signal) {
			t := c.Terminal("user", "add", "alice", "--state", "state")
			says(ctx, t, "New password of alice: ")
			Expect(t.Mode()).NotTo(Equal(untouched()), "control: it has no echo")
			Expect(t.cmd.Process.Signal(signal)).To(Succeed())
			Expect(t.ExitCode(ctx)).To(Equal(-1), "the signal ended it")
			Expect(t.Mode()).To(Equal(untouched()))
		},
			Entry("SIGTERM", syscall.SIGTERM, limit),
			Entry("SIGHUP", syscall.SIGHUP, limit),
		)

		DescribeTable("gives up at Ctrl-C", func(ctx SpecContext, args ...string) {
			t := c.Terminal(args...)
			says(ctx, t, "assword of alice: ")
			t.Type("correct" + ctrlC)
			Expect(t.ExitCode(ctx)).To(Equal(1))
			Expect(t.Shown()).NotTo(ContainSubstring("correct"))
			Expect(t.Shown()).To(MatchRegexp(`\nsallyport [^\n]+\n$`), "it says so")
		},
			Entry("in user add", "user", "add", "alice", "--state", "state", limit),
			Entry("in connect", "connect", "--user", "alice", limit),
		)
	})

	When("it is an interactive connect", func() {
		s := c.withServer()
		var alice *terminal
		BeforeEach(func(ctx SpecContext) {
			alice = c.Terminal(s.As("connect", "alice")...)
			says(ctx, alice, "seated at "+s.addr+".*\r\n> ")
		}, limitOfNode)

		It("shows a result, and a refusal, and goes on", func(ctx SpecContext) {
			alice.Type("ECHO hello there\r")
			says(ctx, alice, "[^ ]hello there\r\n")
			alice.Type("NOSUCH\r")
			says(ctx, alice, "! 500 unknown-command see HELP\r\n")
			alice.Type("ECHO \u202egnp\r")
			says(ctx, alice, `[^ ]\\u202egnp`+"\r\n")
			alice.Type("\r\rOPEN\r")
			says(ctx, alice, "! .*connect --open\r\n")
			alice.Type("STAT\r")
			says(ctx, alice, "holder alice\r\n.*since ")
		}, limit)

		It("takes a line of the greatest length, and sends no part of a longer one", Label("command:lines"), func(ctx SpecContext) {
			longest := strings.Repeat("x", 8192-len("ECHO \r\n"))
			alice.Type("ECHO " + longest + "\r")
			says(ctx, alice, "[^x]"+longest+"\r\n")
			alice.Type("ECHO " + longest + strings.Repeat("y", 1000) + "\r")
			says(ctx, alice, `! nothing was sent: a line of more than 8192 bytes\r\n`)
			alice.Type("ECHO a\tb\r")
			says(ctx, alice, `! nothing was sent: the line has a tab`)
			alice.Type("  WHOAMI\r")
			says(ctx, alice, "[^ ]alice\r\n")
			alice.Type(ctrlD)
			Expect(alice.ExitCode(ctx)).To(Equal(0))
			Expect(strings.Count(s.LogText(), `"event":"request"`)).To(Equal(3), "with QUIT")
		}, limit)

		It("shows the notice that a client waits", func(ctx SpecContext) {
			alice.Type("ECHO half a li")
			bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
			says(ctx, alice, `\* waiting 1\r\n`)
			alice.Type("ne\r")
			says(ctx, alice, "[^ ]half a line\r\n", "what was typed is kept")
			bob.Kill()
			says(ctx, alice, `\* waiting 0\r\n`)
		}, limit)

		DescribeTable("leaves with 0", func(ctx SpecContext, keys string) {
			alice.Type(keys)
			Expect(alice.ExitCode(ctx)).To(Equal(0))
			Expect(alice.Shown()).To(HaveSuffix("\r\x1b[K"), "no prompt remains")
			Eventually(ctx, s.LogText).Should(MatchRegexp(`"event":"session.close","conn":"[^"]*","reason":"quit"`))
		},
			Entry("at QUIT", "quit\r", limit),
			Entry("at exit", "exit\r", limit),
			Entry("at Ctrl-D", ctrlD, limit),
		)

		DescribeTable("leaves while a request hangs", func(ctx SpecContext, key string) {
			// A frozen server accepts a request and answers nothing.
			s.Freeze(ctx)
			alice.Type("TIME\r" + key)
			Expect(alice.ExitCode(ctx)).To(Equal(1))
			Expect(alice.Shown()).To(MatchRegexp("interrupted: (what became of the request is unknown|the server doesn't answer)\r\n"))
		},
			Entry("at Ctrl-C", ctrlC, limit),
			Entry("at Ctrl-D", ctrlD, limit),
		)

		It("answers what was typed ahead of Ctrl-D", func(ctx SpecContext) {
			alice.Type("ECHO one\rECHO two\r" + ctrlD)
			Expect(alice.ExitCode(ctx)).To(Equal(0))
			Expect(alice.Shown()).To(MatchRegexp(`(?s)[^ ]one\r\n.*[^ ]two\r\n`))
		}, limit)

		It("restores the terminal after SIGHUP", func(ctx SpecContext) {
			Expect(alice.Mode()).NotTo(Equal(untouched()), "control")
			Expect(alice.cmd.Process.Signal(syscall.SIGHUP)).To(Succeed())
			Expect(alice.ExitCode(ctx)).To(Equal(1))
			Expect(alice.Mode()).To(Equal(untouched()))
		}, limit)

		It("says why it ends when the server does", func(ctx SpecContext) {
			s.Stop(ctx)
			Expect(alice.ExitCode(ctx)).To(Equal(1))
			Expect(alice.Shown()).To(MatchRegexp(`sallyport connect: 421 shutdown [^\n]*\r\n$`))
		}, limit)
	})

	It("joins operator and client with serve --chat", func(ctx SpecContext) {
		c.AddUser(ctx, c.Path("state"), "alice")
		operator := c.Terminal("serve", "--chat", "--listen", "127.0.0.1:0", "--state", "state")
		says(ctx, operator, `log .*\r\n`)
		addr := listening.FindStringSubmatch(strings.NewReplacer("\r\n", "\n", "\x1b[K", "\n").Replace(operator.Shown()))
		Expect(addr).NotTo(BeNil())
		s := &service{cli: c, state: c.Path("state"), addr: addr[1]}
		says(ctx, operator, "what you type goes to the seated client; Ctrl-D closes the chat, Ctrl-C stops the server\r\n")
		operator.Type("anybody?\r")
		says(ctx, operator, "! not delivered: .*nobody is seated\r\n")

		alice := c.Terminal(s.As("connect", "alice")...)
		says(ctx, alice, "seated at ")
		operator.Type("good evening\r")
		says(ctx, alice, `\* good evening\r\n`)
		alice.Type("SAY \u202ehello\r")
		says(ctx, operator, `alice: \\u202ehello\r\n`)
		says(ctx, alice, "delivered\r\n")
		alice.Type(ctrlD)
		Expect(alice.ExitCode(ctx)).To(Equal(0))
		operator.Type(ctrlD)
		says(ctx, operator, "the chat is closed; Ctrl-C stops the server\r\n")
		Expect(s.Connect(ctx, "alice", "WHOAMI")).To(printed("alice\n"), "the server goes on")
		operator.Type(ctrlC)
		Expect(operator.ExitCode(ctx)).To(Equal(0))
		Expect(operator.Shown()).To(ContainSubstring("log head "))
	}, limit)

	It("shows the progress of a replay, then its failures and the summary", Label("area:scenarios"), func(ctx SpecContext) {
		c.Scenario("a", goodScenario)
		c.Scenario("b", badReply)
		c.Scenario("c", endless)
		t := c.Terminal("replay", "--timeout", "1h", "--parallel", "1", "mine")
		says(ctx, t, `^0 of 3, 0 failed`)
		says(ctx, t, `\r\x1b\[K1 of 3, 0 failed, \d+ s left`)
		says(ctx, t, `\r\x1b\[KFAIL  b \(.*\)\r\n +mine/b.txtar:4: `)
		says(ctx, t, `2 of 3, 1 failed, \d+ s left`)
		t.Type(ctrlC)
		Expect(t.ExitCode(ctx)).To(Equal(1))
		says(ctx, t, `\r\x1b\[K1 passed, 1 failed, 0 skipped in \S+ s\r\n  1 not run\r\n`)
		Expect(t.Shown()).NotTo(ContainSubstring("ok    a"))
	}, limit)

	It("colours the warnings and errors of a log, unless NO_COLOR is set", func(ctx SpecContext) {
		c.Write("log", `{"time":"","level":"info","event":"a"}
{"time":"","level":"warn","event":"b"}
{"time":"","level":"error","event":"c"}
`)
		show := func(c *cli) string {
			t := c.Terminal("log", "show", "log")
			Expect(t.ExitCode(ctx)).To(Equal(0))
			return t.Shown()
		}
		Expect(show(c)).To(MatchRegexp(`^"" -        a\r\n\x1b\[33m"" -        b .*\x1b\[0m\r\n\x1b\[31m"" -        c .*\x1b\[0m\r\n$`))
		Expect(show(c.With("NO_COLOR="))).To(Equal(show(c)))
		Expect(show(c.With("NO_COLOR=1"))).To(SatisfyAll(ContainSubstring("level=error"), Not(ContainSubstring("\x1b"))))
		Expect(stdout(c.Run(ctx, "", "log", "show", "log"))).To(SatisfyAll(ContainSubstring("level=error"), Not(ContainSubstring("\x1b"))))
	}, limit)
})

// Freeze stops the server's process until the spec ends. It returns when each thread has stopped, which is later
// than the signal.
func (s *service) Freeze(ctx SpecContext) {
	GinkgoHelper()
	Expect(s.Command.Process.Signal(syscall.SIGSTOP)).To(Succeed())
	DeferCleanup(func() { _ = s.Command.Process.Signal(syscall.SIGCONT) })
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.Command.Process.Pid)) // none on other systems
	for _, thread := range threads {
		Eventually(ctx, func() string {
			stat, _ := os.ReadFile(thread)
			return string(stat)
		}).Should(Or(BeEmpty(), ContainSubstring(") T ")), "it has stopped or ended")
	}
}
