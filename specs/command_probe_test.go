package specs

import (
	"encoding/json"
	"net"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

var _ = Describe("The command probe", Label("area:command", "area:probe"), func() {
	c := withCLI()

	When("the server is Sallyport", func() {
		s := c.withServer("--trust", "127.0.0.0/8")

		It("finds nothing wrong with it, and writes reports", func(ctx SpecContext) {
			run := c.Run(ctx, "", "probe", "server", "sallyport://"+s.addr, "--ca", s.state+"/ca.pem", "--user", "alice",
				"--password-file", c.Path("alice.pw"), "--level", "all", "--json", "r.json", "--junit", "r.xml", "--html", "r.html")
			Expect(run).To(gexec.Exit(0))
			Expect(stderr(run)).To(BeEmpty())
			Expect(stdout(run)).To(MatchRegexp(`^at most \d+ failed logins, one after another, at sallyport://(.|\n)*\n\d{3} pass, 0 fail, 0 non-strict, \d+ info, \d+ skip in`))
			var report struct {
				Schema, Role, URL, Peer string
				Totals                  map[string]int
				Results                 []struct {
					Name, Rule, Section, Verdict, Stage string
					Transcript                          []struct{ From, Text string }
				}
			}
			Expect(json.Unmarshal([]byte(c.Read("r.json")), &report)).To(Succeed())
			Expect(report.Schema).To(Equal("sallyport-probe/1"))
			Expect(report.Totals["pass"]).To(BeNumerically(">", 400))
			for _, r := range report.Results {
				if r.Verdict != "skip" && r.Name != "checks/certificate" {
					Expect(r.Transcript).NotTo(BeEmpty(), r.Name)
				}
				if r.Verdict == "info" { // a busy machine may make the times of logins differ
					Expect(r.Name).To(HavePrefix("checks/unknown-user"))
				}
			}
			Expect(report.Results[0].Transcript).To(HaveLen(4))
			Expect(c.Read("r.html")).To(ContainSubstring("altered by the prober"))
			Expect(c.Read("r.xml")).To(ContainSubstring(`<testsuites name="sallyport probe"`))
		}, SpecTimeout(4*time.Minute))

		It("says when the password is wrong, and judges nothing", func(ctx SpecContext) {
			run := c.Run(ctx, "another one\n", "probe", "server", "sallyport://"+s.addr, "--ca", s.state+"/ca.pem", "--user", "alice",
				"--password-stdin", "--run", "^03")
			Expect(run).To(gexec.Exit(4))
			Expect(stderr(run)).To(MatchRegexp(`the login without a fault fails: the server refuses it: "535 login-failed .*"; check --user and the password`))
			Expect(stdout(run)).NotTo(ContainSubstring("03-nonce/other "))
		}, limit)

		It("verifies TLS", func(ctx SpecContext) {
			Expect(c.Run(ctx, "", "probe", "server", "sallyport://"+s.addr, "--user", "alice", "--password-file", c.Path("alice.pw"))).
				To(failed(3, `not reached: TLS: .*certificate`))
		}, limit)
	})

	It("connects nowhere but to this machine, unless the host is named again", func(ctx SpecContext) {
		c.Write("pw", "secret\n")
		args := []string{"probe", "server", "smtp://192.0.2.1:25", "--user", "alice", "--password-file", "pw", "--timeout", "1s"}
		Expect(c.Run(ctx, "", args...)).To(failed(2, `192\.0\.2\.1 is .*--i-may-test 192\.0\.2\.1`))
		Expect(c.Run(ctx, "", append(args, "--i-may-test", "192.0.2.2")...)).To(failed(2, `--i-may-test 192\.0\.2\.1`))
		Expect(c.Run(ctx, "", "probe", "client", "smtp://0.0.0.0:0", "--", "true")).To(failed(2, `on the loopback only`))
	}, limit)

	DescribeTable("refuses wrong usage:", func(ctx SpecContext, pattern string, args ...string) {
		Expect(c.Run(ctx, "", append([]string{"probe"}, args...)...)).To(failed(2, pattern))
	},
		Entry("an unknown protocol", limit, `"ftp://localhost" has no known protocol`, "server", "ftp://localhost"),
		Entry("no account", limit, `--user and its password`, "server", "smtp://localhost"),
		Entry("two passwords", limit, `exclude each other`, "server", "smtp://localhost", "--user", "a", "--password-file", "x", "--password-stdin"),
		Entry("no command", limit, `give the command`, "server", "stdio:"),
		Entry("no command of a client", limit, `give the command`, "client", "sallyport://127.0.0.1:0"),
		Entry("a client of a protocol that has none", limit, `clients that speak imap can't be probed`, "client", "imap://127.0.0.1:0", "--", "true"),
		Entry("a name that no case has", limit, `--run zzz: no case of --level should has such a name`, "server", "stdio:", "--run", "zzz", "--", "true"),
		Entry("a name that no listed case has", limit, `--run zzz: no case`, "client", "stdio:", "--run", "zzz", "--list", "--", "true"),
		Entry("an unknown level", limit, `--level`, "server", "stdio:", "--level", "some", "--", "true"),
		Entry("a file of --ca that is not there", limit, `nope`, "server", "smtp://localhost", "--ca", "nope"),
		Entry("a file of --accept that is not there", limit, `nope`, "server", "stdio:", "--accept", "nope", "--", "true"),
		Entry("a file of --accounts that is not there", limit, `nope`, "server", "smtp://localhost", "--accounts", "nope"),
		Entry("a report that can't be written", limit, `nope/x.json`, "server", "stdio:", "--json", "nope/x.json", "--", "true"),
		Entry("an account over stdio", limit, `--user has no use with stdio`, "server", "stdio:", "--user", "bob", "--", "true"),
		Entry("a host that has no address", limit, `host.invalid`, "client", "smtp://host.invalid:0", "--", "true"),
		Entry("a password in the URL", limit, `"smtp://alice:xxxxx@localhost": .*--user`, "server", "smtp://alice:secret@localhost"),
		Entry("a port that is none", limit, `the highest port is 65535`, "server", "smtp://localhost:65536"),
		Entry("a path that the protocol has no use for", limit, `nothing may follow the port of smtp`, "client", "smtp://localhost:0/x", "--", "true"),
		Entry("an empty command", limit, `give the command`, "client", "stdio:", "--", ""),
		Entry("a placeholder that is unknown", limit, `\{pasword\} in COMMAND is none of \{host\} .*\{password-file\}`, "client", "smtp://127.0.0.1:0", "--", "true", "${x} %{x_y} {} {x,y} {pasword}"),
		Entry("a placeholder over stdio", limit, `\{user\} .*SALLYPORT_USER`, "server", "stdio:", "--", "true", "{user}"),
		Entry("a report in the file of another", limit, `x: a file has one report`, "server", "stdio:", "--json", "x", "--html", "x", "--", "true"),
		Entry("known deviations without an end", limit, `a line is too long`, "server", "stdio:", "--accept", "/dev/zero", "--", "true"),
	)

	DescribeTable("lists the cases without a peer", func(ctx SpecContext, args ...string) {
		run := c.Run(ctx, "", append([]string{"probe"}, args...)...)
		Expect(run).To(gexec.Exit(0))
		Expect(stdout(run)).To(ContainSubstring("12-authzid/"))
	},
		Entry("of a server", limit, "server", "--list"),
		Entry("of a server over stdio", limit, "server", "stdio:", "--list"),
	)

	DescribeTable("says in one sentence why it judges nothing, when the command", func(ctx SpecContext, code int, pattern string, args ...string) {
		Expect(c.Run(ctx, "", append([]string{"probe", "client", "--timeout", "1s"}, args...)...)).To(failed(code, pattern))
		Expect(c.Read("started")).To(BeElementOf("", "x\n"), "a command that hangs is started once")
	},
		Entry("is not there", limit, 3, `not reached: COMMAND can't be started: "nosuch": .*not found`, "smtp://127.0.0.1:0", "--", "nosuch"),
		Entry("is not there, over stdio", limit, 3, `not reached: COMMAND can't be started: ./nosuch: no such file`, "stdio:", "--", "./nosuch"),
		Entry("may not be run", limit, 3, `COMMAND can't be started: /etc/passwd: permission denied`, "stdio:", "--", "/etc/passwd"),
		Entry("ends without a login", limit, 4, `the command ended without a login: cannot read config \(exit status 7\)`,
			"smtp://127.0.0.1:0", "--", "sh", "-c", "echo cannot read config >&2; exit 7"),
		Entry("connects nowhere and stays", limit, 4, `neither begins a login nor ends: the peer did not answer in time: hello`,
			"smtp://127.0.0.1:0", "--", "sh", "-c", "echo x >>started; echo hello; trap '' TERM; sleep 60; sleep 60"),
		Entry("connects and stays", limit, 4, `neither begins a login nor ends: the peer did not answer in time: it printed nothing`,
			"smtp://127.0.0.1:0", "--", "bash", "-c", "echo x >>started; exec 3<>/dev/tcp/{host}/{port}; sleep 60"),
		Entry("connects over and over", limit, 4, `neither begins a login nor ends: .*: the peer ended the connection: it printed nothing`,
			"smtp://127.0.0.1:0", "--", "bash", "-c", "echo x >>started; while :; do exec 3<>/dev/tcp/{host}/{port}; exec 3>&-; done"),
		Entry("stays without a line, over stdio", limit, 4, `begins no login: the peer did not answer in time`, "stdio:", "--", "sh", "-c", "echo x >>started; sleep 60"),
	)

	It("names accounts that no case needs, and a report that can't be written", func(ctx SpecContext) {
		c.Write("pw", "secret\n")
		c.Write("accounts", "bob:x\nIX:y\n")
		run := c.Run(ctx, "", "probe", "server", "smtp://127.0.0.1:1", "--user", "a", "--password-file", "pw", "--accounts", "accounts", "--json", "/dev/full")
		Expect(run).To(gexec.Exit(3))
		Expect(stderr(run)).To(MatchRegexp(`(?s)no case needs these accounts of accounts: \["bob"\];.*: write /dev/full: no space.*: not reached: `))
	}, limit)

	It("says when nobody listens, and when the peer ends at once", func(ctx SpecContext) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		Expect(l.Close()).To(Succeed())
		c.Write("pw", "secret\n")
		Expect(c.Run(ctx, "", "probe", "server", "smtp://"+l.Addr().String(), "--user", "a", "--password-file", "pw")).To(failed(3, "not reached"))
		Expect(c.Run(ctx, "", "probe", "server", "stdio:", "--", "true")).To(gexec.Exit(4))
		Expect(c.Run(ctx, "", "probe", "client", "smtp://127.0.0.1:0", "--", "true")).To(gexec.Exit(4))
	}, limit)
})
