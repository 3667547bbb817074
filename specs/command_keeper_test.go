package specs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/client"
	clientstream "github.com/sallyport/sallyport/client/stream"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// dialer returns a dialer that trusts a service.
func (s *service) dialer() *client.Dialer {
	GinkgoHelper()
	roots := x509.NewCertPool()
	Expect(roots.AppendCertsFromPEM([]byte(s.cli.Read("state/ca.pem")))).To(BeTrue())
	return &client.Dialer{TLSConfig: &tls.Config{RootCAs: roots}}
}

func credentials(user string) client.Credentials {
	return client.Credentials{Username: user, Password: testserver.Password(user)}
}

// dial returns a client that has the seat of a service.
func (s *service) dial(ctx context.Context, user string) *client.Client {
	GinkgoHelper()
	c, err := s.dialer().Dial(ctx, s.addr, credentials(user))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = c.Close() })
	return c
}

// machine returns the address of a TCP console for --backend. Each connection to it arrives in conns.
func machine() (address string, conns chan net.Conn) {
	GinkgoHelper()
	conns = make(chan net.Conn, 8)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(l.Close)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns <- conn
		}
	}()
	return "tcp:" + l.Addr().String(), conns
}

// kept waits for the connection that stays open. The server makes no other, whose end could lose what is said.
func kept(ctx context.Context, conns chan net.Conn) (conn net.Conn) {
	GinkgoHelper()
	Eventually(ctx, conns).Should(Receive(&conn))
	DeferCleanup(func() { _ = conn.Close() })
	return conn
}

var _ = Describe("serve --console", Label("area:command", "area:stream", "area:keeper"), func() {
	c := withCLI()

	opened := func(ctx context.Context, c *client.Client) *clientstream.Stream {
		GinkgoHelper()
		s, err := clientstream.Open(ctx, c)
		Expect(err).NotTo(HaveOccurred())
		return s
	}
	reads := func(from io.Reader, text string) {
		GinkgoHelper()
		got := make([]byte, len(text))
		_, err := io.ReadFull(from, got)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(got)).To(Equal(text))
	}
	ends := func(ctx context.Context, s *clientstream.Stream, in, out int) {
		GinkgoHelper()
		Expect(s.CloseWrite()).To(Succeed())
		took, gave, err := s.Wait(ctx)
		Expect(fmt.Sprint(took, gave, err)).To(Equal(fmt.Sprint(in, out, error(nil))))
	}

	It("records what the machine says while nobody is seated, and shows it to the next ones", func(ctx SpecContext) {
		address, conns := machine()
		s := c.Serve(ctx, "--backend", address, "--console")
		says(ctx, s.Err, `level=WARN msg="what the backend says is recorded, and each user sees the last one's screen" record=\S+console.log backlog=64KiB`)
		console := kept(ctx, conns)
		Expect(conns).To(BeEmpty(), "nothing was opened only to be closed, which would drop what is said meanwhile")
		say(console, "booting\r\n\x1b[1mlogin: ")
		record := func() string { return c.Read("state/console.log") }
		Eventually(ctx, record).Should(MatchRegexp(`^\S+Z booting\n\S+Z \\x1B\[1mlogin: $`))
		info, err := os.Stat(c.Path("state/console.log"))
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))

		alice := s.dial(ctx, "alice")
		stream := opened(ctx, alice)
		reads(stream, "booting\r\n\x1b[1mlogin: ")
		Eventually(ctx, alice.Notices()).Should(Receive(Equal(client.Notice{Code: protocol.CodeMessage, Text: "backlog 20"})))
		say(stream, "root\r")
		reads(console, "root\r")
		say(console, "# ")
		reads(stream, "# ")
		ends(ctx, stream, 5, 22)
		Expect(alice.Quit(ctx)).To(Succeed())

		bob := s.dial(ctx, "bob")
		live, err := clientstream.OpenLive(ctx, bob)
		Expect(err).NotTo(HaveOccurred())
		say(console, "news")
		reads(live, "news")
		Expect(live.Abort()).To(Succeed())
		_, _, err = live.Wait(ctx)
		Expect(err).NotTo(HaveOccurred())
		ends(ctx, opened(ctx, bob), 0, 26)

		Expect(os.Rename(c.Path("state/console.log"), c.Path("state/console.log.old"))).To(Succeed())
		s.Signal(syscall.SIGHUP)
		says(ctx, s.Err, "reloaded certificate")
		say(console, "anew")
		Eventually(ctx, record).Should(MatchRegexp(`^\S+Z anew$`))
		Expect(c.Read("state/console.log.old")).To(HaveSuffix("login: # news\n"))
	}, limit)

	It("opens the machine again, and fails what can't reach it", func(ctx SpecContext) {
		address, conns := machine()
		s := c.Serve(ctx, "--backend", address, "--console", "--backlog", "0", "--console-limit", "4KiB")
		console := kept(ctx, conns).(*net.TCPConn)
		alice := s.dial(ctx, "alice")
		stream := opened(ctx, alice)
		Expect(console.SetLinger(0)).To(Succeed())
		Expect(console.Close()).To(Succeed())
		_, _, err := stream.Wait(ctx)
		Expect(err).To(MatchError(HavePrefix("554 failed")))
		says(ctx, s.Err, `level=WARN msg="the backend is down: it is opened again" error=.* in=1s`)

		stream = opened(ctx, alice) // does not wait for the second
		console = kept(ctx, conns).(*net.TCPConn)
		filler := make([]byte, 8<<10)
		for i := range filler {
			filler[i] = 'x'
		}
		say(console, string(filler))
		reads(stream, string(filler))
		says(ctx, s.Err, `level=INFO msg="the console log has reached its limit and begins anew"`)
		Expect(c.Path("state/console.log.1")).To(BeARegularFile())
		ends(ctx, stream, 0, len(filler))
		ends(ctx, opened(ctx, alice), 0, 0)
	}, limit)

	It("gives up a client that takes nothing, and not the record", func(ctx SpecContext) {
		address, conns := machine()
		s := c.Serve(ctx, "--backend", address, "--console")
		console := kept(ctx, conns)
		alice := s.dial(ctx, "alice")
		opened(ctx, alice) // and never read
		said := make(chan error, 1)
		go func() {
			_ = console.SetDeadline(time.Now().Add(time.Minute))
			_, err := console.Write(bytes.Repeat([]byte(strings.Repeat("x", 1023)+"\n"), 16<<10))
			said <- err
		}()
		Eventually(ctx, said).WithTimeout(50 * time.Second).Should(Receive(BeNil()))
		Eventually(ctx, s.LogText).Should(MatchRegexp(`"verb":"STREAM".*"code":554,"keyword":"failed"`))
	}, limit)

	DescribeTable("is refused with flags that don't go with it", func(ctx SpecContext, why string, flags ...string) {
		args := append([]string{"serve", "--listen", "127.0.0.1:0", "--state", c.Path("state")}, flags...)
		Expect(c.Run(ctx, "", args...)).To(did(2, "", MatchRegexp(`sallyport serve: `+why)))
	},
		Entry("without a backend", "--console goes with --backend", "--console", limit),
		Entry("without the console", "--backlog and --console-limit go with --console", "--backlog", "0", limit),
		Entry("too small a log", "--console-limit is at least 4KiB", "--console", "--backend", "tcp:127.0.0.1:1", "--console-limit", "1KiB", limit),
		Entry("too large a backlog", "--backlog is at most 16MiB", "--console", "--backend", "tcp:127.0.0.1:1", "--backlog", "1GiB", limit),
	)
})
