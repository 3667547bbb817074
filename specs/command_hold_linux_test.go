package specs

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

// runs reports whether a process exists.
func runs(pid int) bool { return syscall.Kill(pid, 0) == nil }

// state returns the state of a process as in proc_pid_stat(5).
func state(pid int) string {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, after, _ := strings.Cut(string(stat), ") ")
	return after[:min(1, len(after))]
}

// childOf returns the only child of a process.
func childOf(parent int) (pid int) {
	GinkgoHelper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	Expect(err).NotTo(HaveOccurred())
	for _, path := range stats {
		stat, _ := os.ReadFile(path) // nothing if it has ended
		_, after, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(after); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			Expect(pid).To(BeZero(), "it has one child")
			pid, err = strconv.Atoi(filepath.Base(filepath.Dir(path)))
			Expect(err).NotTo(HaveOccurred())
		}
	}
	return pid
}

// killTime is the time between SIGTERM and SIGKILL of a command.
const killTime = 5 * time.Second

// The scripts start a process that never ends, and print its pid.
const (
	stubborn   = `sh -c 'trap "" TERM; echo $$; while :; do sleep 1; done'`
	inASession = `setsid sh -c 'echo $$; while :; do sleep 1; done'`
	doubleFork = `sh -c '(setsid sh -c "trap \"\" TERM; echo \$\$; while :; do sleep 1; done" &) &'`
)

// holds starts a hold of alice, whose command starts something that prints its pid, and waits for a line of input.
func (s *service) holds(ctx SpecContext, script string, flags ...string) (alice *gexec.Session, pid int) {
	GinkgoHelper()
	args := append(s.As("hold", "alice", flags...), "--", "sh", "-c", "trap 'exit 3' TERM; "+script+" & read line; exit 0")
	alice, _ = s.cli.Piped(args...)
	says(ctx, alice, `\d+\n`)
	pid, err := strconv.Atoi(strings.TrimSpace(stdout(alice)))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		if CurrentSpecReport().Failed() { // otherwise it has ended
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	Expect(runs(pid)).To(BeTrue(), "control: it runs")
	return alice, pid
}

// next starts a hold of bob that says, as soon as it has the seat, whether the process runs.
func (s *service) next(ctx SpecContext, pid int) *gexec.Session {
	GinkgoHelper()
	bob := s.cli.Start(s.As("hold", "bob", "--", "sh", "-c", "kill -0 $0 2>/dev/null && echo two drivers || echo alone", strconv.Itoa(pid))...)
	says(ctx, bob.Err, "waiting: position 1 holder alice\n")
	return bob
}

var _ = Describe("What the command of a hold has started", Label("area:command", "area:hold", "promise:6", "slow"), func() {
	c := withCLI()

	DescribeTable("is ended when the seat is taken", func(ctx SpecContext, script string) {
		s := c.Serve(ctx, "--admission", "takeover")
		alice, pid := s.holds(ctx, script)
		Expect(s.Connect(ctx, "bob", "WHOAMI")).To(did(0, "bob\n", Or(BeEmpty(), HavePrefix("waiting: "))))
		exits(ctx, alice, 5)
		Expect(stderr(alice)).To(MatchRegexp(`^sallyport hold: the seat was lost: 421 evicted [^\n]*\n$`))
		Expect(runs(pid)).To(BeFalse())
	},
		Entry("though it ignores SIGTERM", stubborn, limit),
		Entry("though it has left the session", inASession, limit),
		Entry("though its parents have ended, and it ignores SIGTERM", doubleFork, limit),
	)

	DescribeTable("keeps the seat until it has ended, if hold", Label("hold:dies"), func(ctx SpecContext, signal syscall.Signal, script string) {
		s := c.Serve(ctx)
		alice, pid := s.holds(ctx, script)
		bob := s.next(ctx, pid)
		alice.Signal(signal)
		exits(ctx, bob, 0)
		Expect(stdout(bob)).To(Equal("alone\n"))
	},
		Entry("is killed", syscall.SIGKILL, stubborn, limit),
		Entry("is killed, and it has left the session", syscall.SIGKILL, doubleFork, limit),
		Entry("dies of SIGQUIT", syscall.SIGQUIT, stubborn, limit),
	)

	It("has ended when the server takes a hold for idle that was stopped", Label("hold:time"), func(ctx SpecContext) {
		s := c.Serve(ctx, "--idle-timeout", "9s")
		alice, pid := s.holds(ctx, stubborn)
		bob := s.next(ctx, pid)
		alice.Signal(syscall.SIGSTOP)
		exits(ctx, bob, 0)
		Expect(stdout(bob)).To(Equal("alone\n"))
		alice.Signal(syscall.SIGCONT)
		exits(ctx, alice, 5)
	}, limit)

	It("makes hold leave with 5 if the shepherd has ended it because hold was stopped", Label("hold:time"), func(ctx SpecContext) {
		s := c.Serve(ctx, "--idle-timeout", "8s")
		for range 3 { // hold sees the end of its command or that of its lease first
			alice, pid := s.holds(ctx, inASession)
			alice.Signal(syscall.SIGSTOP)
			Eventually(ctx, func() bool { return runs(pid) }).Should(BeFalse())
			alice.Signal(syscall.SIGCONT)
			exits(ctx, alice, 5, "its command returned 3")
			Expect(stderr(alice)).To(MatchRegexp(`^sallyport hold: the seat was lost: [^\n]*\n$`))
		}
	}, limit)

	It("is killed at once if the shepherd was stopped until the kill time was over", Label("hold:time"), func(ctx SpecContext) {
		s := c.Serve(ctx, "--idle-timeout", "9s")
		alice, pid := s.holds(ctx, stubborn)
		shepherd := childOf(alice.Command.Process.Pid)
		for _, stopped := range []int{alice.Command.Process.Pid, shepherd} {
			Expect(syscall.Kill(stopped, syscall.SIGSTOP)).To(Succeed())
		}
		Eventually(ctx, s.LogText).Should(ContainSubstring(`"reason":"idle"`))
		Expect(runs(pid)).To(BeTrue(), "control: nobody has ended it")
		Expect(syscall.Kill(shepherd, syscall.SIGCONT)).To(Succeed())
		Eventually(ctx, func() bool { return runs(pid) }).WithTimeout(killTime / 2).Should(BeFalse())
	}, limit)

	It("is ended by hold if somebody kills the shepherd", Label("hold:shepherd"), func(ctx SpecContext) {
		s := c.Serve(ctx)
		alice, pid := s.holds(ctx, doubleFork)
		shepherd := childOf(alice.Command.Process.Pid)
		bob := s.next(ctx, pid)
		Expect(syscall.Kill(shepherd, syscall.SIGKILL)).To(Succeed())
		exits(ctx, alice, 128+9)
		exits(ctx, bob, 0)
		Expect(stdout(bob)).To(Equal("alone\n"))
	}, limit)

	It("is ended though it forks and ends again and again, and ignores SIGTERM", Label("hold:chain"), func(ctx SpecContext) {
		if _, err := exec.LookPath("perl"); err != nil {
			Skip("no perl")
		}
		s := c.Serve(ctx)
		goesOn := c.Write("goes-on", "")
		DeferCleanup(os.Remove, goesOn) // ends what a fault leaves
		const chain = `$SIG{TERM} = "IGNORE"; setpgrp; while (-e $ARGV[0]) { exit if fork }`
		alice, _ := c.Piped(s.As("hold", "alice", "--", "sh", "-c", `perl -e "$0" "$1"; echo started; read line`, chain, goesOn)...)
		says(ctx, alice, "started\n")
		exits(ctx, alice.Terminate(), 128+15)
	}, limit)

	It("is ended when the command ends, before the seat is given back", func(ctx SpecContext) {
		s := c.Serve(ctx)
		alice, in := c.Piped(s.As("hold", "alice", "--", "sh", "-c", inASession+" & read line; exit 7")...)
		says(ctx, alice, `\d+\n`)
		pid, err := strconv.Atoi(strings.TrimSpace(stdout(alice)))
		Expect(err).NotTo(HaveOccurred())
		bob := s.next(ctx, pid)
		say(in, "end\n")
		exits(ctx, alice, 7)
		exits(ctx, bob, 0)
		Expect(stdout(bob)).To(Equal("alone\n"))
	}, limit)
})

// hop passes bytes between clients and a server, until it is frozen. Then both ends' connections stay open, and
// their kernels answer.
type hop struct {
	addr string
	mu   sync.Mutex // locked for ever when frozen
}

func newHop(to string) *hop {
	GinkgoHelper()
	h := &hop{}
	pass := func(dst, src net.Conn) {
		for b := make([]byte, 1<<10); ; {
			n, err := src.Read(b)
			if err != nil {
				return
			}
			h.mu.Lock()
			_, _ = dst.Write(b[:n])
			h.mu.Unlock()
		}
	}
	h.addr = listener("tcp", "127.0.0.1:0", func(client net.Conn) {
		server, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer server.Close()
		go pass(server, client)
		pass(client, server)
	})
	return h
}

var _ = Describe("The command hold", Label("area:command", "area:hold", "promise:6"), func() {
	c := withCLI()

	It("ends its command before the server seats the next, though a hop between the two is frozen", Label("slow"), func(ctx SpecContext) {
		s := c.Serve(ctx, "--idle-timeout", "9s")
		h := newHop(s.addr)
		alice, pid := s.holds(ctx, stubborn, "--addr", h.addr)
		bob := s.next(ctx, pid)
		h.mu.Lock()
		defer h.mu.Unlock()
		exits(ctx, alice, 5)
		Expect(stderr(alice)).To(Equal("sallyport hold: the seat was lost: the server has not answered in time, and may give the seat away\n"))
		Expect(runs(pid)).To(BeFalse())
		exits(ctx, bob, 0)
		Expect(stdout(bob)).To(Equal("alone\n"))
	}, limit)

	It("keeps the seat longer than the limits, by pings", Label("control", "slow"), func(ctx SpecContext) {
		s := c.Serve(ctx, "--idle-timeout", "8s")
		alice, in := c.Piped(s.As("hold", "alice", "--", "sh", "-c", "echo seated; read line")...)
		says(ctx, alice, "seated\n")
		Eventually(ctx, func() int { return strings.Count(s.LogText(), `"verb":"WHOAMI"`) }).Should(BeNumerically(">", 9))
		say(in, "end\n")
		exits(ctx, alice, 0)
	}, limit)

	It("names the session limit when its command is ended for that", Label("slow"), func(ctx SpecContext) {
		s := c.Serve(ctx, "--session-limit", "9s")
		alice := c.Start(s.As("hold", "alice", "--", "sleep", "60")...)
		exits(ctx, alice, 5)
		Expect(stderr(alice)).To(HaveSuffix("sallyport hold: the seat was lost: the server's --session-limit is near\n"))
	}, limit)

	DescribeTable("does not start its command if a limit of the server is too short", func(ctx SpecContext, flag, limit string) {
		s := c.Serve(ctx, flag, limit)
		Expect(c.Run(ctx, "", s.As("hold", "alice", "--", "touch", "ran")...)).To(
			failed(1, "touch was not started: the server's "+flag+" of "+limit+" is too short: .* raise it to 8s or more"))
		Expect(c.Path("ran")).NotTo(BeAnExistingFile())
	},
		Entry("idle", "--idle-timeout", "7s", limit),
		Entry("vanish", "--vanish-timeout", "2s", limit),
		Entry("session", "--session-limit", "5s", limit),
	)

	It("leaves with 5 if the seat can't be given back", Label("slow", "hold:quit"), func(ctx SpecContext) {
		s := c.Serve(ctx)
		alice, in := c.Piped(s.As("hold", "alice", "--", "sh", "-c", "echo seated; read line")...)
		says(ctx, alice, "seated\n")
		s.Freeze(ctx)
		say(in, "end\n")
		exits(ctx, alice, 5)
		Expect(stderr(alice)).To(MatchRegexp(`^sallyport hold: the command ended with exit code 0, but the seat may have been lost before: [^\n]*\n$`))
	}, limit)

	It("leaves with 5 if the server dies", func(ctx SpecContext) {
		s := c.Serve(ctx)
		alice, pid := s.holds(ctx, inASession)
		s.Kill()
		exits(ctx, alice, 5)
		Expect(stderr(alice)).To(MatchRegexp(`^sallyport hold: the seat was lost: [^\n]*\n$`))
		Expect(runs(pid)).To(BeFalse())
	}, limit)
})
