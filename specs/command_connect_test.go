package specs

import (
	"crypto/rand"
	"os"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/scenarios/testserver"
)

var _ = Describe("The command connect", Label("area:command"), func() {
	c := withCLI()
	s := c.withServer()

	It("prints the result of a request and nothing else", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "alice", "ECHO", "hello")).To(printed("hello\n"))
		Expect(s.Connect(ctx, "alice", "echo", "two", "words")).To(printed("two words\n"))
		Expect(s.Connect(ctx, "alice", "ECHO", "--body", "-h")).To(printed("--body -h\n"), "after the verb all belongs to the request")
		Expect(s.Connect(ctx, "alice", "HELP")).To(did(0, MatchRegexp(`^ECHO .+\nHELP .+\nNOOP .+\nQUIT .+\nSAY .+\nSTAT .+\nTIME .+\nWHOAMI .+\n$`), ""))
		Expect(s.Connect(ctx, "alice", "QUIT")).To(printed(""))
	}, limit)

	It("takes one request a line from a pipe", func(ctx SpecContext) {
		run := c.Run(ctx, "WHOAMI\n\nECHO a  b\r\nECHO last", s.As("connect", "alice")...)
		Expect(run).To(printed("alice\na  b\nlast\n"))
		Expect(c.Run(ctx, "WHOAMI\nQUIT\nECHO too late\n", s.As("connect", "alice")...)).To(printed("alice\n"))
		Expect(c.Run(ctx, "", s.As("connect", "alice")...)).To(printed(""))
	}, limit)

	DescribeTable("goes on after a line from a pipe, and reports it by the exit code",
		func(ctx SpecContext, lines, complaint string) {
			run := c.Run(ctx, "ECHO a\n"+lines+"ECHO c\n", s.As("connect", "alice")...)
			Expect(run).To(did(6, "a\nc\n", MatchRegexp("^"+complaint+"$")))
		},
		Entry("that is refused", "NOSUCH b\n", "NOSUCH: 500 unknown-command see HELP\n", limit),
		Entry("that is not a verb", "no_such b\n", "no_such: \"no_such\" is not a verb: letters, digits and -\n", limit),
		Entry("whose verb has a flag", "OPEN\nBODY 3 ECHO\n", "OPEN: .*use --open, .+\nBODY: use --body FILE, .+\n", limit),
		Entry("that can't be sent", "ECHO \x00\n", "ECHO: .+\n", limit),
	)

	It("takes the usual port where --addr has none", func(ctx SpecContext) {
		args := []string{"connect", "--user", "alice", "--password-file", "alice.pw", "--server-name", "nobody.example", "--addr"}
		for _, host := range []string{"127.0.0.1", "::1", "[::1]"} {
			run := c.Run(ctx, "", append(args, host, "WHOAMI")...)
			Expect(run).To(gexec.Exit(3))
			Expect(stderr(run)).To(MatchRegexp(`no connection to (127\.0\.0\.1|\[::1\]):7443: `))
		}
	}, limit)

	It("sends a body and prints a 251 as it is", func(ctx SpecContext) {
		random := make([]byte, 100_000)
		_, _ = rand.Read(random)
		body := "\x00\r\n\xff no line end " + string(random)
		c.Write("body", body)
		Expect(s.Connect(ctx, "alice", "--body", "body", "ECHO", "ignored")).To(printed(body))
		Expect(c.Run(ctx, body, s.As("connect", "alice", "--body", "-", "ECHO")...)).To(printed(body))
		Expect(c.Run(ctx, "", s.As("connect", "alice", "--body", "-", "ECHO", "not this")...)).To(printed(""))
	}, limit)

	It("refuses a body over the server's limit", func(ctx SpecContext) {
		c.Write("body", strings.Repeat("x", 1<<20+1))
		Expect(s.Connect(ctx, "alice", "--body", "body", "ECHO")).To(failed(6, "552 too-large a body has at most 1048576 octets"))
		Expect(s.Connect(ctx, "alice", "--max-body", "4KiB", "--body", c.Write("small", strings.Repeat("x", 4097)), "ECHO")).To(
			failed(1, "a body of 4097 octets, more than 4096: for larger ones give --max-body"))
	}, limit)

	It("takes the password from the first line of standard input, and requests from the rest", func(ctx SpecContext) {
		args := []string{"connect", "--addr", s.addr, "--state", s.state, "--user", "alice", "--password-stdin"}
		Expect(c.Run(ctx, testserver.Password("alice")+"\nWHOAMI\n", args...)).To(printed("alice\n"))
		Expect(c.Run(ctx, testserver.Password("alice"), append(args, "WHOAMI")...)).To(printed("alice\n"))
		Expect(c.Run(ctx, "\nWHOAMI\n", args...)).To(failed(1, "the password is empty"))
		Expect(c.Run(ctx, "", args[:len(args)-1]...)).To(failed(1, "no terminal to ask for the password on: use --password-file or --password-stdin"))
	}, limit)

	It("takes every flag from the environment, and a flag wins", func(ctx SpecContext) {
		env := c.With("SALLYPORT_ADDR="+s.addr, "SALLYPORT_STATE="+s.state, "SALLYPORT_USER=alice", "SALLYPORT_PASSWORD_FILE=alice.pw")
		Expect(env.Run(ctx, "", "connect", "WHOAMI")).To(printed("alice\n"))
		Expect(env.Run(ctx, "", "connect", "--user", "bob", "--password-file", "bob.pw", "WHOAMI")).To(printed("bob\n"))
		c.Write("body", "of the request")
		Expect(env.With("SALLYPORT_BODY=body").Run(ctx, "", "connect", "ECHO")).To(printed("of the request"))
	}, limit)

	It("warns of a variable that is no flag, unless Kubernetes sets it", Label("command:warnings"), func(ctx SpecContext) {
		env := c.With("SALLYPORT_MAXBODY=4KiB", "SALLYPORT_QUEUE_DEPTH=2", "SALLYPORT_SERVICE_HOST=10.0.0.1", "SALLYPORT_PORT=tcp://10.0.0.1:7443")
		Expect(env.Run(ctx, "", s.As("connect", "alice", "WHOAMI")...)).To(
			did(0, "alice\n", "warning: no command has a flag for SALLYPORT_MAXBODY in the environment\n"))
	}, limit)

	It("warns of a password file that others can read", Label("command:warnings"), func(ctx SpecContext) {
		Expect(os.Chmod(c.Path("alice.pw"), 0o644)).To(Succeed())
		run := s.Connect(ctx, "alice", "WHOAMI")
		Expect(run).To(did(0, "alice\n", "warning: others can read or change "+c.Path("alice.pw")+" (mode 0644): chmod 600 it\n"))
	}, limit)

	It("trusts the CA that --ca names, and no other", func(ctx SpecContext) {
		args := []string{"connect", "--addr", s.addr, "--user", "alice", "--password-file", "alice.pw"}
		Expect(c.Run(ctx, "", append(args, "--ca", "state/ca.pem", "WHOAMI")...)).To(printed("alice\n"))
		Expect(c.Run(ctx, "", "user", "list", "--state", "other")).To(gexec.Exit(0))
		Expect(c.Run(ctx, "", append(args, "--ca", "other/ca.pem", "--state", "state", "WHOAMI")...)).To(failed(3, "unknown authority: other/ca.pem is not the CA of this server"))
	}, limit)

	It("prints messages of the operator on standard error while it has the seat", func(ctx SpecContext) {
		s.Stop(ctx)
		operator, in := c.ServeChat(ctx, s.state)
		alice, requests := operator.Seated(ctx, "alice")
		say(in, "five minutes left\n")
		says(ctx, alice.Err, "notice: five minutes left\n")
		say(requests, "SAY I am done\n")
		says(ctx, alice, "delivered\n")
		says(ctx, operator, "alice: I am done\n")
		Expect(requests.Close()).To(Succeed())
		exits(ctx, alice, 0)
	}, limit)

	DescribeTable("ends at a signal while it waits for requests", func(ctx SpecContext, signal os.Signal) {
		alice, _ := s.Seated(ctx, "alice")
		exits(ctx, alice.Signal(signal), 1)
		Expect(stderr(alice)).To(MatchRegexp(`^sallyport connect: [^\n]*signal received\n$`))
	},
		Entry("SIGINT", os.Interrupt, limit),
		Entry("SIGTERM", syscall.SIGTERM, limit),
		Entry("SIGHUP", syscall.SIGHUP, limit),
	)
})
