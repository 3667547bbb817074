package specs

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/specs/harness"
)

// watched is a server with --metrics.
type watched struct {
	*service
	url string
}

func (c *cli) watched(ctx SpecContext, flags ...string) *watched {
	GinkgoHelper()
	s := c.Serve(ctx, append([]string{"--metrics", "0"}, flags...)...)
	says(ctx, s.Err, `metrics at http://127\.0\.0\.1:\d+/metrics\n`)
	return &watched{s, regexp.MustCompile(`metrics at (http://[^/]+)/metrics`).FindStringSubmatch(stderr(s.Session))[1]}
}

// get returns the code and the text of a page.
func (w *watched) get(ctx context.Context, path string) (code int, text string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+path, nil)
	if err != nil {
		return 0, "", err
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	return reply.StatusCode, string(body), err
}

// page returns a function for Eventually that returns a page with its code.
func (w *watched) page(ctx context.Context, path string) func() (string, error) {
	return func() (string, error) {
		code, text, err := w.get(ctx, path)
		return fmt.Sprintf("%d %s", code, text), err
	}
}

// line matches a page with a line.
func line(pattern string) OmegaMatcher { return MatchRegexp(`(?m)^` + pattern + `$`) }

var _ = Describe("The command serve --metrics", Label("area:command", "area:metrics"), func() {
	c := withCLI()

	It("counts what happens, and says what is now", func(ctx SpecContext) {
		s := c.watched(ctx)
		Expect(s.page(ctx, "/metrics")()).To(line(`sallyport_seat_taken 0`))
		alice, _ := s.Seated(ctx, "alice")
		s.Waiting(ctx, "bob", "alice", "WHOAMI")
		c.Write("bob.pw", "a wrong one\n")
		ended(ctx, s.cli.Start(s.As("connect", "bob", "WHOAMI")...))
		Expect(s.page(ctx, "/metrics")()).To(SatisfyAll(
			line(`sallyport_seat_taken 1`), line(`sallyport_seat_held_seconds [1-9\d.e-]+`), line(`sallyport_queue_clients 1`),
			line(`sallyport_requests_total{code="250"} 1`), line(`sallyport_request_duration_seconds_count 1`),
			line(`sallyport_logins_total{result="ok"} 2`), line(`sallyport_logins_total{result="refused"} 1`),
			line(`sallyport_sessions_started_total 1`), line(`sallyport_connections_total 3`),
			line(`sallyport_certificate_remaining_seconds \d[\d.e+]+`), line(`sallyport_log_size_bytes [1-9]\d+`),
			line(`sallyport_log_writable 1`), line(`sallyport_log_write_failures_total 0`),
			line(`sallyport_build_info{commit="[^"]+",goversion="go1[^"]+",version="[^"]+"} 1`),
			Not(ContainSubstring("alice")), Not(ContainSubstring("bob")), Not(ContainSubstring("127.0.0.1"))))
		alice.Kill()
		Eventually(ctx, s.page(ctx, "/metrics")).Should(SatisfyAll(
			line(`sallyport_sessions_ended_total{reason="(cut|reset)"} 1`), line(`sallyport_sessions_ended_total{reason="quit"} 1`),
			line(`sallyport_seat_taken 0`), line(`sallyport_queue_clients 0`), line(`sallyport_queue_left_total{reason="granted"} 1`)))
	}, limit)

	It("passes promtool check metrics", func(ctx SpecContext) {
		promtool := harness.Tool("promtool")
		s := c.watched(ctx)
		_, text, err := s.get(ctx, "/metrics")
		Expect(err).NotTo(HaveOccurred())
		check := func(text string) error {
			cmd := exec.CommandContext(ctx, promtool, "check", "metrics")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), GinkgoWriter, GinkgoWriter
			return cmd.Run()
		}
		Expect(check(text)).To(Succeed())
		Expect(check("# TYPE wrong_count counter\nwrong_count 1\n")).NotTo(Succeed(), "control")
	}, limit)

	When("it is asked for its health", func() {
		It("is well as long as it can serve", func(ctx SpecContext) {
			s := c.watched(ctx)
			Expect(s.page(ctx, "/healthz")()).To(Equal("200 ok\n"))
			Expect(s.page(ctx, "/")()).To(HavePrefix("404 "))
		}, limit)

		It("is not when the log can't be written, and says why", func(ctx SpecContext) {
			s := c.watched(ctx)
			alice, in := s.Seated(ctx, "alice")
			Expect(os.Remove(s.Log())).To(Succeed())
			Expect(os.Mkdir(s.Log(), 0o700)).To(Succeed())
			say(in, "ECHO unlogged\n")
			exits(ctx, alice, 1)
			Expect(s.page(ctx, "/healthz")()).To(MatchRegexp(`^503 interaction log: .*the log must be a regular file.*\n$`))
			Expect(s.page(ctx, "/metrics")()).To(SatisfyAll(
				line(`sallyport_log_writable 0`), line(`sallyport_log_write_failures_total [1-9]\d*`)))
			Expect(os.Remove(s.Log())).To(Succeed())
			Expect(s.page(ctx, "/healthz")()).To(Equal("200 ok\n"))
		}, limit)

		It("is not while it shuts down, so that clients go elsewhere", func(ctx SpecContext) {
			s := c.watched(ctx, "--backend", "exec:cat", "--shutdown-grace", "1m")
			alice, in := c.Piped(s.As("connect", "alice", "--open")...)
			say(in, "ping\n")
			says(ctx, alice, "ping")
			s.Terminate()
			Eventually(ctx, s.page(ctx, "/healthz")).Should(Equal("503 server: it is shutting down\n"))
			Expect(s.page(ctx, "/metrics")()).To(line(`sallyport_seat_taken 1`))
			Expect(in.Close()).To(Succeed())
			exits(ctx, s.Session, 0)
		}, limit)

		It("is not while the backend of --console is down, without its address", func(ctx SpecContext) {
			s := c.watched(ctx, "--console", "--backend", "unix:"+c.Path("socket"))
			Eventually(ctx, s.page(ctx, "/healthz")).Should(Equal("503 backend: not reachable\n"))
		}, limit)
	})

	It("answers a scrape while a thousand strangers knock", func(ctx SpecContext) {
		s := c.watched(ctx, "--trust", "127.0.0.0/8")
		crowd, leave := context.WithCancel(ctx)
		var strangers sync.WaitGroup
		defer strangers.Wait()
		defer leave()
		for range 1000 {
			strangers.Go(func() { knock(crowd, s.addr) })
		}
		Eventually(ctx, s.page(ctx, "/metrics")).Should(line(`sallyport_lobby_connections [1-9]\d*`))
		var took []time.Duration
		for range 20 {
			began := time.Now()
			code, _, err := s.get(ctx, "/metrics")
			Expect([]any{code, err}).To(Equal([]any{200, nil}))
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		AddReportEntry("a scrape beside 1,000 strangers", fmt.Sprintf("median %v, longest %v", took[10], took[19]))
	}, limit)

	It("warns loudly of an address that others can reach, and not of a loopback", func(ctx SpecContext) {
		s := c.Serve(ctx, "--metrics", "0.0.0.0:0")
		says(ctx, s.Err, `METRICS ARE PUBLIC.*address=.*:\d+`)
		other := &cli{home: c.home, asked: c.asked, env: c.env}
		local := other.ServeOn(ctx, c.Path("other"), "--metrics", "localhost:0")
		says(ctx, local.Err, `metrics at http://`)
		Expect(stderr(local.Session)).NotTo(ContainSubstring("PUBLIC"))
	}, limit)

	It("ends if its address is in use", func(ctx SpecContext) {
		taken := listener("tcp", "127.0.0.1:0", func(net.Conn) {})
		Expect(c.Run(ctx, "", "serve", "--listen", "127.0.0.1:0", "--state", "state", "--metrics", taken)).To(
			did(1, "", MatchRegexp(`^sallyport serve: --metrics: %s is in use: `, regexp.QuoteMeta(taken))))
	}, limit)

	DescribeTable("refuses", func(ctx SpecContext, address string) {
		Expect(c.Run(ctx, "", "serve", "--metrics", address)).To(failed(2, "--metrics is PORT or HOST:PORT"))
	},
		Entry("a port that is none", "99999", limit),
		Entry("a host without a port", "localhost", limit),
		Entry("too much", "a:b:c", limit),
	)
})

// knock connects without a login, again and again.
func knock(ctx context.Context, addr string) {
	for ctx.Err() == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		_, _ = conn.Read(make([]byte, 1)) // until the server makes room for others
		stop()
		_ = conn.Close()
	}
}
