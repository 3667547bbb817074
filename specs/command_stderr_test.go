package specs

import (
	"bufio"
	"context"
	"os"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

// pipeSize is the capacity of a pipe on Linux and macOS.
const pipeSize = 64 << 10

// onPipe starts a command whose standard error is a pipe that nobody reads.
func (c *cli) onPipe(args ...string) (session *gexec.Session, read, write *os.File) {
	GinkgoHelper()
	read, write, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _, _ = read.Close(), write.Close() })
	cmd := c.command(args...)
	// gexec takes standard error for itself, so the shell exchanges it.
	cmd.Args = append([]string{"sh", "-c", `exec "$@" 2>&3 3>&-`, "sh", commandPath}, args...)
	cmd.Path, cmd.ExtraFiles = "/bin/sh", []*os.File{write}
	session, err = gexec.Start(cmd, nil, nil)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) { ended(ctx, session.Kill()) }, limitOfNode)
	return session, read, write
}

var _ = Describe("The standard error of the command", Label("area:command", "area:stderr", "promise:7"), func() {
	c := withCLI()

	// serving starts a server, and reads all that it says at its start.
	serving := func(ctx context.Context) (s *service, read, write *os.File) {
		GinkgoHelper()
		c.AddUser(ctx, c.Path("state"), "alice")
		session, read, write := c.onPipe("serve", "--listen", "127.0.0.1:0", "--state", "state")
		s = &service{Session: session, cli: c, state: c.Path("state")}
		for lines := bufio.NewReader(read); ; {
			line, err := lines.ReadString('\n')
			Expect(err).NotTo(HaveOccurred())
			if addr, found := strings.CutPrefix(line, "listening on "); found {
				s.addr = strings.TrimSpace(addr)
			}
			if strings.HasPrefix(line, "log ") {
				return s, read, write
			}
		}
	}
	drains := func(ctx context.Context, s *service) {
		GinkgoHelper()
		alice, _ := s.Seated(ctx, "alice")
		for range 3 { // each has something to say
			s.Signal(syscall.SIGHUP)
			Eventually(s.LogText).WithContext(ctx).Should(ContainSubstring(`"event":"server.reload"`))
		}
		Expect(s.Connect(ctx, "alice", "--no-wait", "WHOAMI")).To(failed(5, "seat is taken"))
		exits(ctx, s.Terminate(), 0)
		exits(ctx, alice, 1)
		Expect(stderr(alice)).To(ContainSubstring("421 shutdown "))
		Expect(s.LogText()).To(ContainSubstring(`"event":"session.close"`))
	}

	It("may lose its reader: serve goes on, and drains at SIGTERM", func(ctx SpecContext) {
		s, read, write := serving(ctx)
		Expect(write.Close()).To(Succeed())
		Expect(read.Close()).To(Succeed())
		drains(ctx, s)
	}, limit)

	It("may be full: serve goes on, and drains at SIGTERM", func(ctx SpecContext) {
		s, _, write := serving(ctx)
		Expect(write.Write(make([]byte, pipeSize))).To(Equal(pipeSize))
		drains(ctx, s)
	}, limit)

	It("may be full: hold takes the seat, and ends its command when the seat is lost", func(ctx SpecContext) {
		c.AddUser(ctx, c.Path("state"), "alice", "bob")
		server, operator := c.ServeChat(ctx, c.Path("state"), "--vanish-timeout", "1h", "--idle-timeout", "1h")
		_, aliceIn := server.Seated(ctx, "alice")
		bob := server.Waiting(ctx, "bob", "alice", "WHOAMI")
		session, read, write := c.onPipe(server.As("hold", "alice", "--", "/bin/sh", "-c", "echo started; exec sleep 1000")...)
		Expect(bufio.NewReader(read).ReadString('\n')).To(ContainSubstring("position 2 "))
		Expect(write.Write(make([]byte, pipeSize))).To(Equal(pipeSize))
		Expect(aliceIn.Close()).To(Succeed())
		exits(ctx, bob, 0) // so hold has to say that its position is 1
		says(ctx, session, "started\n")
		say(operator, "hello\n")
		exits(ctx, server.Terminate(), 0)
		exits(ctx, session, 5)
	}, limit)

	It("may be full: hold gives the seat back though its command can't be started", func(ctx SpecContext) {
		server := c.Serve(ctx)
		program := c.Write("program", "of another machine")
		Expect(os.Chmod(program, 0o700)).To(Succeed())
		session, _, write := c.onPipe(server.As("hold", "alice", "--", program)...)
		Expect(write.Write(make([]byte, pipeSize))).To(Equal(pipeSize))
		exits(ctx, session, 1)
	}, limit)

	It("may lose its reader: hold goes on", func(ctx SpecContext) {
		server := c.Serve(ctx)
		alice, aliceIn := server.Seated(ctx, "alice")
		bob, bobIn := c.Piped(server.As("connect", "bob")...)
		says(ctx, bob.Err, "waiting: position 1 ")
		session, read, write := c.onPipe(server.As("hold", "alice", "--", "/bin/sh", "-c", "exit 7")...)
		Expect(bufio.NewReader(read).ReadString('\n')).To(ContainSubstring("position 2 "))
		Expect(write.Close()).To(Succeed())
		Expect(read.Close()).To(Succeed())
		Expect(aliceIn.Close()).To(Succeed())
		exits(ctx, alice, 0)
		say(bobIn, "WHOAMI\n")
		says(ctx, bob, "bob\n") // so hold has to say that its position is 1
		Expect(bobIn.Close()).To(Succeed())
		exits(ctx, bob, 0)
		exits(ctx, session, 7)
	}, limit)
})
