package specs

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/scenarios/testserver"
)

var _ = Describe("The command replay against a running server", Label("area:command", "area:scenarios", "command:remote"), func() {
	c := withCLI()
	s := c.withServer("--trust", "127.0.0.0/8")
	BeforeEach(func() { c.UsersFile("alice", "bob") })

	It("runs what can run there, and says why the rest can't", func(ctx SpecContext) {
		c.Scenario("a", goodScenario)
		c.Scenario("b", ownScenario)
		c.Scenario("c", strings.ReplaceAll(goodScenario, "alice", "carol"))
		c.Scenario("d", strings.ReplaceAll(goodScenario, "alice", "bob"))
		c.Scenario("e", ownScenario)
		run := c.Run(ctx, "", s.Replay("--repeat", "2", "mine")...)
		Expect(run).To(gexec.Exit(0))
		Expect(stderr(run)).To(BeEmpty())
		Expect(stdout(run)).To(MatchRegexp(`\n4 passed, 0 failed, 6 skipped in \d\.\d s
  4 skipped: it needs a server of its own, for "log has"
  2 skipped: the users file has no password of carol
$`))
		Expect(strings.Count(s.LogText(), `"event":"session.open"`)).To(Equal(4))
	}, limit)

	It("runs at least 25 of the scenarios that come with it, three times in a row", func(ctx SpecContext) {
		for range 3 {
			run := c.Run(ctx, "", s.Replay()...)
			Expect(run).To(gexec.Exit(0))
			passed := regexp.MustCompile(`(?m)^(\d+) passed, 0 failed`).FindStringSubmatch(stdout(run))
			Expect(passed).NotTo(BeNil())
			Expect(strconv.Atoi(passed[1])).To(BeNumerically(">=", 25))
		}
	}, SpecTimeout(5*time.Minute))

	It("runs what --init has written, as the users file says", func(ctx SpecContext) {
		Expect(c.Run(ctx, "", "replay", "--init", "new")).To(gexec.Exit(0))
		for _, name := range []string{"alice", "bob"} {
			password := regexp.MustCompile("(?m)^" + name + ":(.+)$").FindStringSubmatch(c.Read("new/users"))
			Expect(password).NotTo(BeNil())
			Expect(c.Run(ctx, password[1]+"\n", "user", "passwd", name, "--password-stdin", "--state", s.state)).To(gexec.Exit(0))
		}
		run := c.Run(ctx, "", s.Replay("--users", "new/users", "new")...)
		Expect(c.Read("new/README.md")).To(ContainSubstring(" --users new/users new\n"), "as here")
		Expect(run).To(gexec.Exit(0))
		Expect(stdout(run)).To(ContainSubstring("1 passed, 0 failed, 0 skipped"))
	}, limit)

	It("shows no password of the users file, whatever fails", Label("promise:5"), func(ctx SpecContext) {
		c.Scenario("a", "# Wrong.\nalice login\nalice ask ECHO 'it is '$alice_password\nalice hears 250 $bob_password\n")
		run := c.Run(ctx, "", s.Replay("--json", "report", "--junit", "report.xml", "--html", "report.html", "mine")...)
		Expect(run).To(gexec.Exit(1))
		Expect(stdout(run)).To(ContainSubstring(`mine/a.txtar:4: alice hears 250 $bob_password: expected 250 $bob_password`))
		all := stdout(run) + stderr(run) + c.Read("report") + c.Read("report.xml") + c.Read("report.html")
		for _, secret := range []string{testserver.Password("alice"), testserver.Password("bob")} {
			Expect(all).NotTo(ContainSubstring(strings.TrimPrefix(secret, "bob")))
		}
		Expect(strings.Count(all, "it is $alice_password")).To(BeNumerically(">=", 3), "control: where it would have been")
	}, limit)

	It("shows a word that happens to be a password as any other", Label("promise:5"), func(ctx SpecContext) {
		const script = "# Words.\nalice login\nalice ask ECHO 'the laboratory'\nalice hears 250 never\n"
		Expect(c.Run(ctx, "laboratory\n", "user", "passwd", "bob", "--password-stdin", "--state", s.state)).To(gexec.Exit(0))
		c.Write("users", "alice:"+testserver.Password("alice")+"\nbob:laboratory\n")
		report := func(script string) string {
			c.Scenario("a", script)
			run := c.Run(ctx, "", s.Replay("--json", "report", "--junit", "report.xml", "--html", "report.html", "mine")...)
			Expect(run).To(gexec.Exit(1))
			return stdout(run) + c.Read("report") + c.Read("report.xml") + c.Read("report.html")
		}
		Expect(report(script)).To(SatisfyAll(ContainSubstring("the laboratory"), Not(ContainSubstring("bob_password"))))
		Expect(report(strings.ReplaceAll(script, "laboratory'", "'$bob_password"))).To(
			SatisfyAll(ContainSubstring("the $bob_password"), Not(ContainSubstring("laboratory"))), "control")
	}, limit)

	It("leaves with 3 if another server answers", func(ctx SpecContext) {
		Expect(c.Run(ctx, "", "user", "list", "--state", "other")).To(gexec.Exit(0))
		s.state = "other"
		Expect(c.Run(ctx, "", s.Replay(c.Scenario("a", goodScenario))...)).To(failed(3, "no connection to .*: other/ca.pem is not the CA of this server"))
	}, limit)

	It("warns of a users file that others can read", func(ctx SpecContext) {
		Expect(os.Chmod(c.Path("users"), 0o640)).To(Succeed())
		run := c.Run(ctx, "", s.Replay(c.Scenario("a", goodScenario))...)
		Expect(run).To(gexec.Exit(0))
		Expect(stderr(run)).To(Equal("warning: others can read or change users (mode 0640): chmod 600 it\n"))
	}, limit)

	DescribeTable("can't start", func(ctx SpecContext, code int, pattern string, change func()) {
		c.Scenario("a", goodScenario)
		change()
		Expect(c.Run(ctx, "", s.Replay("mine")...)).To(failed(code, pattern))
	},
		Entry("if no server listens", 3, "no connection to .*refused: is a server running there", func() { s.addr = unusedAddr }, limit),
		Entry("with a line that is no user", 1, "users:2: the line is not MEMBER:PASSWORD", func() { c.Write("users", "alice:long enough\nsecret\n") }, limit),
		Entry("with a password that is too short to hide", 1, "users:1: the password of alice has fewer than 8 characters", func() { c.Write("users", "alice:the lab\n") }, limit),
		Entry("with a wrong password", 4, `127.0.0.1:\d+ refuses bob, who logs in as "bob": is the password in users right`,
			func() { c.Write("users", "alice:"+testserver.Password("alice")+"\nbob:not bob's password\n") }, limit),
		Entry("with a name that is no user", 4, `refuses alice, who logs in as "mallory": is the password in users right`,
			func() { c.Write("users", "alice=mallory:"+testserver.Password("alice")+"\n") }, limit),
		Entry("if what listens speaks no TLS", 3, "no connection to .*: what answers there does not speak TLS",
			func() {
				s.addr = listener("tcp", "127.0.0.1:0", func(c net.Conn) { _, _ = io.WriteString(c, "220 smtp ready\r\n") })
			}, limit),
		Entry("if what listens is no Sallyport", 3, `it is no Sallyport server \(it does not speak sallyport/1\)`,
			func() { s.addr = stranger(s.state, nil, "") }, limit),
		Entry("if what listens says something else", 3, "it is no Sallyport server, or a faulty one",
			func() { s.addr = stranger(s.state, []string{"sallyport/1"}, "HTTP/1.1 200 OK\r\n\r\n") }, limit),
		Entry("without the users file", 1, "users: no such file", func() { Expect(os.Remove(c.Path("users"))).To(Succeed()) }, limit),
	)
})

// stranger is a TLS server with the certificate of a state directory that says only one thing.
func stranger(state string, protocols []string, says string) (addr string) {
	GinkgoHelper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(state, "cert.pem"), filepath.Join(state, "key.pem"))
	Expect(err).NotTo(HaveOccurred())
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: protocols}
	return listener("tcp", "127.0.0.1:0", func(c net.Conn) {
		server := tls.Server(c, config)
		_, _ = io.WriteString(server, says)
		_, _ = server.Read(make([]byte, 1))
	})
}

var _ = Describe("The command replay against a server that doesn't trust it", Label("area:command", "area:scenarios"), func() {
	c := withCLI()
	s := c.withServer("--max-failed-logins", "1")
	BeforeEach(func() { c.UsersFile("alice", "bob") })

	// The server keeps this machine out for other reasons than the next scenario's.
	DescribeTable("names --trust and stops, and counts no failure", func(ctx SpecContext, attack string) {
		c.Scenario("a", "# Strangers.\n"+attack+"\n")
		c.Scenario("b", goodScenario)
		run := c.Run(ctx, "", s.Replay("mine")...)
		Expect(run).To(gexec.Exit(1))
		Expect(stderr(run)).To(MatchRegexp("keeps this machine out, .*start it with --trust"))
		Expect(stdout(run)).To(ContainSubstring(", 0 failed, "))
		Expect(stdout(run)).NotTo(ContainSubstring("FAIL"))
		Expect(stdout(run)).To(MatchRegexp("\n  [12] not run\n"))
	},
		Entry("after guesses", "sybil 20 wrong-password", limit),
		Entry("after strangers that have left", "sybil 60 garbage", limit),
	)
})
