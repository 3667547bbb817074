package specs

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

var forwarding = regexp.MustCompile(`(?m)^forwarding (\S+)$`)

// Forward starts a forward, and returns the address of its port.
func (s *service) Forward(ctx context.Context, user string, flags ...string) (*gexec.Session, string) {
	GinkgoHelper()
	f := s.cli.Start(s.As("forward", user, append([]string{"--listen", "0"}, flags...)...)...)
	says(ctx, f.Err, `forwarding \S+\n`)
	return f, forwarding.FindStringSubmatch(stderr(f))[1]
}

// hashed is how many bytes a program has hashed. $SALLYPORT_HASH_MIB gives more than 8 MiB.
func hashed() int {
	if mib, err := strconv.Atoi(os.Getenv("SALLYPORT_HASH_MIB")); err == nil {
		return mib << 20
	}
	return 8 << 20
}

// hashes runs a program that sends data, in drips and floods, while the backend sends it back, and ends its direction.
// Then the hash of all comes.
func hashes(port string, data []byte) {
	GinkgoHelper()
	p := runProgram(port)
	say(p, "hash\n")
	go func() {
		defer GinkgoRecover()
		defer p.halfClose()
		for rest, n := data, 0; len(rest) > 0; n++ {
			size := min(len(rest), 1+rand.IntN(1<<(n%18)))
			if _, err := p.Write(rest[:size]); err != nil {
				return
			}
			rest = rest[size:]
		}
	}()
	text, err := p.rest()
	Expect(err).NotTo(HaveOccurred())
	want := sha256.Sum256(data)
	Expect(text[:len(text)-32] == string(data)).To(BeTrue())
	Expect(text[len(text)-32:]).To(Equal(string(want[:])))
}

var _ = Describe("The command forward", Label("area:command", "area:forward", "promise:6"), func() {
	c := withCLI()
	var r *rig
	BeforeEach(func() { r = newRig() })
	// serve starts a server in front of the rig.
	serve := func(ctx context.Context, flags ...string) *service {
		GinkgoHelper()
		return c.Serve(ctx, append([]string{"--backend", "tcp:" + r.addr}, flags...)...)
	}

	It("joins unmodified programs to the backend, one after another, and says who waits", func(ctx SpecContext) {
		s := serve(ctx)
		aliceForward, port := s.Forward(ctx, "alice")
		bobForward, bobPort := s.Forward(ctx, "bob")
		alice := runProgram(port)
		Expect(alice.asks("*IDN?")).To(Equal("ok *IDN?"))
		bob := runProgram(bobPort)
		say(bob, "VOLT 0\n")
		says(ctx, bobForward.Err, "^waiting: position 1 holder alice\n")
		says(ctx, aliceForward.Err, "^seated\n1 waiting\n")
		Expect(alice.asks("VOLT 5")).To(Equal("ok VOLT 5"))
		Expect(r.heard.Load()).To(BeEquivalentTo(2), "bob's is not among them")
		Expect(alice.Close()).To(Succeed())
		Expect(bob.in.ReadString('\n')).To(Equal("ok VOLT 0\n"))
		bob.halfClose()
		text, err := bob.rest()
		Expect(text, err).To(BeEmpty())
		says(ctx, aliceForward.Err, "^ended: 13 bytes to the backend, 19 from it\n")
		says(ctx, bobForward.Err, "^seated\nended: 7 bytes to the backend, 10 from it\n")
		Expect(stdout(aliceForward) + stdout(bobForward)).To(BeEmpty())
		exits(ctx, aliceForward.Interrupt(), 0)
		exits(ctx, bobForward.Terminate(), 0)
	}, limit)

	It("gives a program nothing that the backend said before it came", Label("area:keeper"), func(ctx SpecContext) {
		s := serve(ctx, "--console")
		f, port := s.Forward(ctx, "alice")
		for _, line := range []string{"*IDN?", "VOLT 0"} {
			alice := runProgram(port)
			Expect(alice.asks(line)).To(Equal("ok " + line))
			Expect(alice.Close()).To(Succeed())
			says(ctx, f.Err, "ended: ")
		}
		Expect(stderr(f)).NotTo(ContainSubstring("backlog"))
		exits(ctx, f.Interrupt(), 0)
	}, limit)

	DescribeTable("carries every byte both ways, with delays, drips and ends of one direction",
		func(ctx SpecContext, address func(user string) string) {
			s := serve(ctx)
			data := make([]byte, hashed())
			_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
			var programs sync.WaitGroup
			for _, user := range []string{"alice", "bob"} { // one waits for the other
				_, port := s.Forward(ctx, user, "--listen", address(user))
				programs.Go(func() {
					defer GinkgoRecover()
					hashes(port, data)
				})
			}
			programs.Wait()
		},
		Entry("over TCP", func(string) string { return "127.0.0.1:0" }, limit),
		Entry("over a Unix socket", func(user string) string { return "unix:" + c.Path(user+".port") }, limit),
	)

	It("gives the backend's end to the program, which may go on to speak", func(ctx SpecContext) {
		s := serve(ctx)
		f, port := s.Forward(ctx, "alice")
		p := runProgram(port)
		say(p, "bye\n")
		text, err := p.rest()
		Expect(text, err).To(BeEmpty())
		say(p, "one\ntwo\n")
		Eventually(ctx, r.heard.Load).Should(BeEquivalentTo(3))
		Expect(p.Close()).To(Succeed())
		says(ctx, f.Err, "ended: ")
	}, limit)

	It("delivers what a program sent that did not wait for an answer", func(ctx SpecContext) {
		s := serve(ctx)
		f, port := s.Forward(ctx, "alice")
		for range 3 {
			p := runProgram(port)
			say(p, "set\nset\n")
			Expect(p.Close()).To(Succeed())
		}
		for range 3 {
			says(ctx, f.Err, "ended: 8 bytes to the backend, 0 from it\n")
		}
		Expect(r.heard.Load()).To(BeEquivalentTo(6))
	}, limit)

	DescribeTable("ends a connection whose stream was cut with the last words and a reset, and the exit code tells",
		func(ctx SpecContext, code int, why string, cut func(context.Context, *service, *program), flags ...string) {
			for _, keep := range [][]string{{"--once"}, {"--keep", "--once"}} {
				s := newCLI().Serve(ctx, append([]string{"--backend", "tcp:" + r.addr}, flags...)...)
				f, port := s.Forward(ctx, "alice", keep...)
				p := runProgram(port)
				say(p, "one\ntwo\n")
				Expect(p.in.Peek(len("ok one\nok two\n"))).NotTo(BeEmpty())
				cut(ctx, s, p)
				p.isReset("ok one\nok two\n")
				exits(ctx, f, code)
				Expect(stderr(f)).To(MatchRegexp(`\nseated\n(1 waiting\n|notice: [^\n]*\n)?sallyport forward: ` + why + `[^\n]*\n$`))
			}
		},
		Entry("by a takeover", 5, `the seat was lost: 421 evicted `, func(ctx context.Context, s *service, _ *program) {
			Expect(s.Connect(ctx, "bob", "WHOAMI")).To(gexec.Exit(0))
		}, "--admission", "takeover", limit),
		Entry("by the session's limit", 1, `the seat was lost: 421 session-limit `, func(context.Context, *service, *program) {},
			"--session-limit", "1s", limit),
		Entry("by a shutdown", 1, `the seat was lost: 421 shutdown `, func(_ context.Context, s *service, _ *program) { s.Terminate() },
			"--shutdown-grace", "10ms", limit),
		Entry("by the server's death", 1, `the seat was lost: `, func(_ context.Context, s *service, _ *program) { s.Session.Kill() }, limit),
		Entry("by the backend", 6, `the backend broke`, func(_ context.Context, _ *service, p *program) { say(p, "crash\n") }, limit),
	)

	It("resets a connection on which nothing comes or goes before the server gives its seat away", func(ctx SpecContext) {
		s := serve(ctx, "--idle-timeout", "4s")
		f, port := s.Forward(ctx, "alice", "--once")
		p := runProgram(port)
		for range 12 { // longer than the limit
			Expect(p.asks("one")).To(Equal("ok one"))
			time.Sleep(500 * time.Millisecond)
		}
		bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
		p.isReset("")
		exits(ctx, f, 1)
		Expect(stderr(f)).To(MatchRegexp(`sallyport forward: the seat was lost: no byte came or went, and the server's --idle-timeout of 4s is near\n$`))
		exits(ctx, bob, 0)
		Expect(s.LogText()).NotTo(ContainSubstring(`"reason":"idle"`), "the server has not had to take the seat away")
	}, limit)

	It("keeps the seat with --keep, in a stream and between two, and serves programs one after another", func(ctx SpecContext) {
		s := serve(ctx, "--idle-timeout", "4s")
		f, port := s.Forward(ctx, "alice", "--keep")
		says(ctx, f.Err, "seated\n")
		first, second := runProgram(port), (*program)(nil)
		Expect(first.asks("one")).To(Equal("ok one"))
		second = runProgram(port)
		say(second, "two\n")
		bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
		Eventually(ctx, func() int { return strings.Count(s.LogText(), `"verb":"WHOAMI"`) }).Should(BeZero(), "pings are no requests")
		Consistently(ctx, bob, "6s").ShouldNot(gexec.Exit())
		Expect(first.Close()).To(Succeed())
		Expect(second.in.ReadString('\n')).To(Equal("ok two\n"))
		Expect(second.Close()).To(Succeed())
		Eventually(ctx, func() int { return strings.Count(s.LogText(), `"verb":"WHOAMI"`) }).Should(BeNumerically(">", 5))
		exits(ctx, f.Interrupt(), 0)
		exits(ctx, bob, 0)
		Expect(strings.Count(s.LogText(), `"event":"stream.open"`)).To(Equal(2))
		Expect(strings.Count(s.LogText(), `"event":"session.open"`)).To(Equal(2), "alice's and bob's")
		Expect(stderr(f)).To(MatchRegexp(`^forwarding \S+\nseated\n1 waiting\nended: 4 bytes to the backend, 7 from it\nended: 4 bytes .*\n$`))
	}, limit)

	It("ends with 5 when it keeps the seat and loses it while no program is connected", func(ctx SpecContext) {
		s := serve(ctx, "--admission", "takeover")
		f, _ := s.Forward(ctx, "alice", "--keep")
		says(ctx, f.Err, "seated\n")
		Expect(s.Connect(ctx, "bob", "WHOAMI")).To(gexec.Exit(0))
		exits(ctx, f, 5)
		Expect(stderr(f)).To(MatchRegexp(`\nsallyport forward: the seat was lost: 421 evicted [^\n]*\n$`))
	}, limit)

	It("takes sixteen programs that wait, and resets one more", func(ctx SpecContext) {
		s := serve(ctx)
		f, port := s.Forward(ctx, "alice")
		first := runProgram(port)
		Expect(first.asks("one")).To(Equal("ok one"))
		var waiting []*program
		for range 16 {
			waiting = append(waiting, runProgram(port))
		}
		isResetAtOnce(port)
		says(ctx, f.Err, "refused a local connection: 16 wait already\n")
		Expect(waiting[0].Close()).To(Succeed())
		says(ctx, f.Err, "a local program left while it waited\n")
		Expect(first.Close()).To(Succeed())
		for n, p := range waiting[1:] {
			Expect(p.asks(fmt.Sprint(n))).To(Equal(fmt.Sprintf("ok %d", n)))
			Expect(p.Close()).To(Succeed())
		}
	}, limit)

	It("gives up its place at the server when the program leaves", func(ctx SpecContext) {
		s := serve(ctx)
		bob, in := s.Seated(ctx, "bob")
		f, port := s.Forward(ctx, "alice")
		p := runProgram(port)
		says(ctx, f.Err, "waiting: position 1 holder bob\n")
		Expect(p.Close()).To(Succeed())
		says(ctx, f.Err, "a local program left while it waited\n")
		Eventually(ctx, s.LogText).Should(ContainSubstring(`"event":"queue.leave"`))
		Expect(in.Close()).To(Succeed())
		exits(ctx, bob, 0)
		exits(ctx, f.Interrupt(), 0)
		Expect(r.heard.Load()).To(BeZero())
	}, limit)

	It("ends the stream of a program that resets its connection", func(ctx SpecContext) {
		s := serve(ctx)
		f, port := s.Forward(ctx, "alice", "--once")
		p := runProgram(port)
		Expect(p.asks("one")).To(Equal("ok one"))
		Expect(p.Conn.(*net.TCPConn).SetLinger(0)).To(Succeed())
		Expect(p.Close()).To(Succeed())
		exits(ctx, f, 1)
		Expect(s.Connect(ctx, "bob", "--no-wait", "WHOAMI")).To(printed("bob\n"))
	}, limit)

	It("leaves a reset behind when it is killed, and the seat to the next", func(ctx SpecContext) {
		s := serve(ctx)
		f, port := s.Forward(ctx, "alice")
		p := runProgram(port)
		Expect(p.asks("one")).To(Equal("ok one"))
		bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
		f.Kill()
		p.isReset("")
		exits(ctx, bob, 0)
	}, limit)

	It("cuts a connection at a signal, and gives the seat back", func(ctx SpecContext) {
		s := serve(ctx)
		f, port := s.Forward(ctx, "alice")
		p := runProgram(port)
		Expect(p.asks("one")).To(Equal("ok one"))
		exits(ctx, f.Terminate(), 0)
		p.isReset("")
		says(ctx, f.Err, "ended: terminated signal received\n")
		Eventually(ctx, s.LogText).Should(ContainSubstring(`"reason":"quit"`))
	}, limit)

	It("takes a program that reads nothing for idle, not for dead", Label("slow"), func(ctx SpecContext) {
		s := serve(ctx, "--vanish-timeout", "2s")
		_, port := s.Forward(ctx, "alice")
		p := runProgram(port)
		say(p, "flood\n")
		bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
		Consistently(ctx, bob, "5s").ShouldNot(gexec.Exit())
		_, err := io.CopyN(io.Discard, p.in, flood)
		Expect(err).NotTo(HaveOccurred())
		Expect(p.asks("one")).To(Equal("ok one"))
	}, limit)

	It("keeps its words from its bytes, though standard error is full", func(ctx SpecContext) {
		s := serve(ctx)
		f, read, write := c.onPipe(s.As("forward", "alice", "--listen", "unix:"+c.Path("port"))...)
		Expect(bufio.NewReader(read).ReadString('\n')).To(HavePrefix("forwarding unix:"))
		Expect(write.Write(make([]byte, pipeSize))).To(Equal(pipeSize))
		for range 3 {
			p := runProgram("unix:" + c.Path("port"))
			Expect(p.asks("one")).To(Equal("ok one"))
			p.halfClose()
			text, err := p.rest()
			Expect(text, err).To(BeEmpty())
		}
		exits(ctx, f.Interrupt(), 0)
	}, limit)

	It("listens for others only if told, and says so loudly", func(ctx SpecContext) {
		s := serve(ctx)
		f, _ := s.Forward(ctx, "alice", "--listen", "0.0.0.0:0")
		says(ctx, f.Err, "WARNING: other machines may reach ")
		f, port := s.Forward(ctx, "alice", "--listen", ":0")
		Expect(port).To(HavePrefix("127.0.0.1:"))
		Expect(c.Run(ctx, "", s.As("forward", "bob", "--listen", port)...)).To(failed(1, port+" is in use, by another forward or another program: choose another port"))
		exits(ctx, f.Interrupt(), 0)
		Expect(stderr(f)).To(Equal("forwarding " + port + "\n"))
		env := c.With("SALLYPORT_LISTEN=0", "SALLYPORT_ONCE=1")
		f = env.Start(s.As("forward", "alice")...)
		says(ctx, f.Err, `forwarding \S+\n`)
		p := runProgram(forwarding.FindStringSubmatch(stderr(f))[1])
		p.halfClose()
		exits(ctx, f, 0)
	}, limit)
})
