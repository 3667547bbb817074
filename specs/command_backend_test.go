package specs

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

// device is a line service. It answers each line and, at the end of its input, sends the number of lines.
func device(network, address string) string {
	GinkgoHelper()
	return listener(network, address, func(conn net.Conn) {
		n := 0
		for in := bufio.NewScanner(conn); in.Scan(); n++ {
			_, _ = fmt.Fprintf(conn, "ok %s\n", in.Text())
		}
		_, _ = fmt.Fprintf(conn, "%d in all\n", n)
	})
}

var _ = Describe("The command's backend", Label("area:command", "area:stream"), func() {
	c := withCLI()

	DescribeTable("is an unmodified service that is driven through connect --open, while others wait",
		func(ctx SpecContext, backend func() string) {
			s := c.Serve(ctx, "--backend", backend())
			Expect(c.Run(ctx, "one\ntwo\n", s.As("connect", "alice", "--open")...)).To(printed("ok one\nok two\n2 in all\n"))

			alice, in := c.Piped(s.As("connect", "alice", "--open")...)
			say(in, "VOLT 5\n")
			says(ctx, alice, "^ok VOLT 5\n")
			bob := s.Waiting(ctx, "bob", "alice", "--open")
			say(in, "VOLT 0\n")
			says(ctx, alice, "^ok VOLT 0\n")
			Expect(stdout(bob)).To(BeEmpty())
			Expect(in.Close()).To(Succeed())
			exits(ctx, alice, 0)
			Expect(alice).To(did(0, "ok VOLT 5\nok VOLT 0\n2 in all\n", "1 waiting\n"), "the last words come after the half-close")
			ended(ctx, bob)
			Expect(bob).To(did(0, "0 in all\n", "waiting: position 1 holder alice\nseated\n"))
			Eventually(ctx, s.LogText).Should(MatchRegexp(`(?s)"event":"stream.close","conn":"[^"]*","bytes_in":14,"bytes_out":29[,}].*"reason":"quit"`))
		},
		Entry("over TCP", func() string { return "tcp:" + device("tcp", "127.0.0.1:0") }, limit),
		Entry("over a Unix socket", func() string { return "unix:" + device("unix", c.Path("device")) }, limit),
	)

	DescribeTable("may be unreachable, which fails the request and not the server",
		func(ctx SpecContext, backend func() string) {
			s := c.Serve(ctx, "--backend", backend())
			Expect(s.Connect(ctx, "alice", "--open")).To(failed(6, "the server can't reach its backend"))
			Expect(stderr(s.Session)).To(MatchRegexp(`verb=STREAM error="dial `), "the operator learns why")
			Expect(s.Connect(ctx, "alice", "WHOAMI")).To(printed("alice\n"))
		},
		Entry("over TCP", func() string { return "tcp:" + unusedAddr }, limit),
		Entry("over a Unix socket", func() string { return "unix:" + c.Path("nosuch") }, limit),
	)

	DescribeTable("is not finished when the stream was cut, and the reason is told",
		func(ctx SpecContext, code int, why string, cut func(context.Context, *service, *os.File), flags ...string) {
			// backend answers each line, and resets the connection at "crash".
			backend := listener("tcp", "127.0.0.1:0", func(conn net.Conn) {
				for in := bufio.NewScanner(conn); in.Scan() && in.Text() != "crash"; {
					_, _ = fmt.Fprintln(conn, "half of the answer")
				}
				_ = conn.(*net.TCPConn).SetLinger(0)
			})
			s := c.Serve(ctx, append([]string{"--backend", "tcp:" + backend}, flags...)...)
			alice, in := c.Piped(s.As("connect", "alice", "--open")...)
			say(in, "measure\n")
			says(ctx, alice, "half of the answer\n")
			cut(ctx, s, in)
			exits(ctx, alice, code)
			if strings.HasPrefix(why, "421 shutdown") {
				Expect(stderr(alice)).To(HavePrefix("notice: the server shuts down: this stream ends in 100ms\n"))
			}
			Expect(stderr(alice)).To(MatchRegexp(`^(1 waiting\n|notice: .*\n)?sallyport connect: ` + why + `\n$`))
		},
		Entry("by a takeover", 5, "421 evicted bob took over", func(ctx context.Context, s *service, _ *os.File) {
			Expect(s.Connect(ctx, "bob", "WHOAMI")).To(gexec.Exit(0))
		}, "--admission", "takeover", limit),
		Entry("by the session's limit", 1, "421 session-limit .+ 1s",
			func(context.Context, *service, *os.File) {}, "--session-limit", "1s", limit),
		Entry("by the idle time-out", 1, "421 idle .+ 200ms",
			func(context.Context, *service, *os.File) {}, "--idle-timeout", "200ms", limit),
		Entry("by a shutdown, which is announced", 1, "421 shutdown .+",
			func(ctx context.Context, s *service, _ *os.File) { exits(ctx, s.Terminate(), 0) }, "--shutdown-grace", "100ms", limit),
		Entry("by a crash of the service", 6, "the server has lost its backend: connect again when it is back; its operator finds .*",
			func(_ context.Context, _ *service, in *os.File) { say(in, "crash\n") }, limit),
	)

	DescribeTable("may drop its answer at the end of the input, for which --linger waits",
		func(ctx SpecContext, want string, flags ...string) {
			// backend works while a line comes, and ends at once when its input does.
			backend := listener("tcp", "127.0.0.1:0", func(conn net.Conn) {
				in := bufio.NewReader(conn)
				_, _ = in.ReadString('\n')
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_, _ = in.ReadByte()
				}()
				for _, word := range []string{"answer", "in", "parts\n"} {
					select {
					case <-time.After(250 * time.Millisecond):
						_, _ = fmt.Fprint(conn, word, " ")
					case <-ended:
						return
					}
				}
			})
			s := c.Serve(ctx, "--backend", "tcp:"+backend)
			Expect(c.Run(ctx, "measure\n", append(s.As("connect", "alice", "--open"), flags...)...)).To(printed(want))
		},
		Entry("as long as it goes on answering", "answer in parts\n ", "--linger", "30s", limit),
		Entry("not with 0", "", "--linger", "0", Label("control"), limit),
	)

	It("fails the command if it ends without having taken all input", func(ctx SpecContext) {
		s := c.Serve(ctx, "--backend", "exec:head -c 10")
		alice := c.Run(ctx, strings.Repeat("x", 4<<20), s.As("connect", "alice", "--open")...)
		Expect(alice).To(did(1, strings.Repeat("x", 10), MatchRegexp(`: the backend has ended the stream, and has taken only \d+ of \d+ bytes\n$`)))
	}, limit)

	It("is not given up while standard output is not read", Label("promise:6"), func(ctx SpecContext) {
		const size = 8 << 20
		s := c.Serve(ctx, "--vanish-timeout", "1s", "--backend", "tcp:"+listener("tcp", "127.0.0.1:0", func(conn net.Conn) {
			_, _ = conn.Write(make([]byte, size))
		}))
		cmd := c.command(s.As("connect", "alice", "--open")...)
		out, err := cmd.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		var messages bytes.Buffer
		cmd.Stderr = &messages
		Expect(cmd.Start()).To(Succeed())
		Eventually(ctx, s.LogText).Should(ContainSubstring(`"event":"stream.open"`))
		Consistently(ctx, s.LogText, "3s").ShouldNot(ContainSubstring(`"event":"session.close"`))
		n, err := io.Copy(io.Discard, out)
		Expect(err).NotTo(HaveOccurred())
		Expect(cmd.Wait()).To(Succeed(), messages.String())
		Expect(n).To(BeNumerically("==", size))
	}, limit)

	It("gets the end of an input that can't be read, and the exit code reports it", func(ctx SpecContext) {
		s := c.Serve(ctx, "--backend", "tcp:"+device("tcp", "127.0.0.1:0"))
		directory, err := os.Open(c.home)
		Expect(err).NotTo(HaveOccurred())
		defer directory.Close()
		cmd := c.command(s.As("connect", "alice", "--open")...)
		cmd.Stdin = directory
		alice := begin("connect", cmd)
		exits(ctx, alice, 1)
		Expect(stdout(alice)).To(Equal("0 in all\n"))
		Expect(stderr(alice)).To(MatchRegexp(`^sallyport connect: standard input: [^\n]+\n$`))
	}, limit)

	It("may end the stream by itself", func(ctx SpecContext) {
		s := c.Serve(ctx, "--backend", "tcp:"+listener("tcp", "127.0.0.1:0", func(conn net.Conn) { _, _ = fmt.Fprint(conn, "goodbye") }))
		alice, _ := c.Piped(s.As("connect", "alice", "--open")...)
		exits(ctx, alice, 0)
		Expect(alice).To(printed("goodbye"), "though its input goes on")
	}, limit)
})
