package specs

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("The command hold on a terminal", Label("area:command", "area:hold", "area:terminal", "promise:6"), func() {
	c := withCLI()

	It("leaves Ctrl-C to its command", func(ctx SpecContext) {
		s := c.Serve(ctx)
		alice := c.Terminal(s.As("hold", "alice", "--", "sh", "-c", "trap 'echo caught' INT; echo seated; read line; read line; echo got $line; exit 7")...)
		says(ctx, alice, "seated")
		alice.Type(ctrlC)
		says(ctx, alice, "caught")
		alice.Type("more\r")
		alice.Type("more\r")
		says(ctx, alice, "got more")
		Expect(alice.ExitCode(ctx)).To(Equal(7))
	}, limit)

	It("dies of Ctrl-C with its command", func(ctx SpecContext) {
		s := c.Serve(ctx)
		alice := c.Terminal(s.As("hold", "alice", "--", "sh", "-c", "echo seated; exec sleep 1000")...)
		says(ctx, alice, "seated")
		alice.Type(ctrlC)
		Expect(alice.ExitCode(ctx)).To(Equal(128 + 2))
		Expect(s.Connect(ctx, "bob", "--no-wait", "WHOAMI")).To(printed("bob\n"))
	}, limit)

	It("ends all that the command has started", Label("slow"), func(ctx SpecContext) {
		s := c.Serve(ctx, "--admission", "takeover")
		alice := c.Terminal(s.As("hold", "alice", "--", "sh", "-c", stubborn+" & read line")...)
		says(ctx, alice, `\d+\r\n`)
		pid, err := strconv.Atoi(strings.TrimSpace(alice.Shown()))
		Expect(err).NotTo(HaveOccurred())
		Expect(runs(pid)).To(BeTrue(), "control")
		Expect(s.Connect(ctx, "bob", "WHOAMI")).To(did(0, "bob\n", Or(BeEmpty(), HavePrefix("waiting: "))))
		Expect(alice.ExitCode(ctx)).To(Equal(5))
		Expect(runs(pid)).To(BeFalse())
	}, limit)

	DescribeTable("ends its command with the lease, though that has stopped", Label("slow", "hold:time"), func(ctx SpecContext, then syscall.Signal) {
		s := c.Serve(ctx, "--idle-timeout", "9s")
		alice := c.Terminal(s.As("hold", "alice", "--", "sh", "-c", stubborn+" & read line")...)
		says(ctx, alice, `\d+\r\n`)
		pid, err := strconv.Atoi(strings.TrimSpace(alice.Shown()))
		Expect(err).NotTo(HaveOccurred())
		bob := s.next(ctx, pid)
		hold := alice.cmd.Process
		command := childOf(childOf(hold.Pid))
		Expect(hold.Signal(syscall.SIGSTOP)).To(Succeed())
		Expect(syscall.Kill(command, syscall.SIGSTOP)).To(Succeed())
		Eventually(ctx, func() string { return state(pid) }).Should(Equal("T"), "the shepherd stops the rest")
		for _, stopped := range []int{command, pid} {
			Expect(syscall.Kill(stopped, then)).To(Succeed())
		}
		exits(ctx, bob, 0)
		Expect(stdout(bob)).To(Equal("alone\n"))
		Expect(hold.Signal(syscall.SIGCONT)).To(Succeed())
		Expect(alice.ExitCode(ctx)).To(Equal(5))
	},
		Entry("and stays so", syscall.SIGSTOP, limit),
		Entry("and goes on without hold", syscall.SIGCONT, limit),
	)

	It("is a job of a shell, which Ctrl-Z stops and fg continues", func(ctx SpecContext) {
		s := c.Serve(ctx)
		cmd := exec.Command("/bin/sh", "-i")
		cmd.Dir, cmd.Env = c.home, append(c.env, "PS1=ready: ")
		shell := onTerminal(cmd)
		says(ctx, shell, "ready: ")
		shell.Type(quoted(commandPath, s.As("hold", "alice", "--", "sh", "-c", stubborn+` & echo seated; while read line; do echo "<$line>"; done; exit 7`)) + "\r")
		says(ctx, shell, "\nseated\r\n")
		shell.Type("one\r")
		says(ctx, shell, "<one>\r\n")
		shell.Type("\x1a")
		says(ctx, shell, "Stopped")
		shell.Type("echo the shell $((40+2))\r")
		says(ctx, shell, "the shell 42\r\n")
		shell.Type("fg\r")
		shell.Type("two\r")
		says(ctx, shell, "<two>\r\n")
		shell.Type("\x1a")
		says(ctx, shell, "Stopped")
		shell.Type("bg\rfg\rthree\r")
		says(ctx, shell, "<three>\r\n")
		shell.Type(ctrlD)
		shell.Type("echo code=$?\r")
		says(ctx, shell, "code=7\r\n")
		shell.Type("exit\r")
		Expect(shell.ExitCode(ctx)).To(Equal(0))
	}, limit)
})

// quoted returns a command line for a shell.
func quoted(path string, args []string) string {
	line := path
	for _, arg := range args {
		line += " '" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return line
}
