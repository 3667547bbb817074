package specs

import (
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/scenarios/testserver"
)

var _ = Describe("The command connect --record", Label("area:command", "area:scenarios"), func() {
	c := withCLI()
	s := c.withServer()
	BeforeEach(func() { c.Write("users", "alice=bob:"+testserver.Password("bob")+"\n") })

	const requests = "WHOAMI\nSTAT\ntime\nHELP\nECHO it's $HOME #1\nSAY hello\nNOSUCH x\nNOOP\nOPEN\nQUIT\n"

	It("makes a scenario that replays against the same server and a fresh one", func(ctx SpecContext) {
		run := c.Run(ctx, requests, s.As("connect", "bob", "--record", "mine.txtar")...)
		Expect(run).To(gexec.Exit(6), "for NOSUCH, as without a recording")
		Expect(stderr(run)).To(MatchRegexp(`\nrecorded in mine.txtar; next: \S+ replay mine.txtar\n$`))
		recorded := c.Read("mine.txtar")
		Expect(recorded).To(SatisfyAll(
			ContainSubstring("\nalice login\n"),
			ContainSubstring("\nalice ask WHOAMI\nalice hears 250 ^$alice_user'$'\n"),
			ContainSubstring("\nalice ask ECHO 'it''s $HOME #1'\nalice hears 250 '^it''s \\$HOME #1$'\n"),
			HaveSuffix("\nalice ask NOOP\nalice hears 250 '^ok$'\nalice quit\n"),
			Not(ContainSubstring("bob"))))
		for _, where := range [][]string{{"replay"}, s.Replay(), {"replay"}, s.Replay()} {
			again := c.Run(ctx, "", append(where, "mine.txtar")...)
			Expect(again).To(gexec.Exit(0))
			Expect(stdout(again)).To(ContainSubstring("1 passed, 0 failed, 0 skipped"))
		}
		// Control: it fails if the server's reply differs.
		c.Write("mine.txtar", strings.Replace(recorded, "alice ask WHOAMI", "alice ask TIME", 1))
		Expect(c.Run(ctx, "", "replay", "mine.txtar")).To(gexec.Exit(1))
	}, limit)

	It("writes no password, and nothing where others can read", Label("promise:5"), func(ctx SpecContext) {
		secret := testserver.Password("bob")
		lines := "ECHO say " + secret + ".\n" + secret + "\nECHO " + strings.ToUpper(secret) + "\nECHO bye\n"
		run := c.Run(ctx, lines, s.As("connect", "bob", "--record", "mine.txtar")...)
		Expect(stdout(run)).To(Equal("say "+secret+".\nbye\n"), "a request that is the password is not sent")
		Expect(stderr(run)).To(ContainSubstring("ECHO: the request can't be recorded: the password is in it\n"))
		Expect(c.Read("mine.txtar")).To(ContainSubstring("alice ask ECHO 'say '$alice_password'.'\nalice hears 250 '^say '$alice_password'\\.$'\n"))
		Expect(strings.ToLower(c.Read("mine.txtar"))).NotTo(ContainSubstring(secret))
		info, err := os.Stat(c.Path("mine.txtar"))
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
		Expect(c.Run(ctx, "", "replay", "mine.txtar")).To(gexec.Exit(0))
	}, limit)

	It("records bodies of text and of bytes", func(ctx SpecContext) {
		for name, body := range map[string]string{"text": "a 'line'", "lines": "two\nlines\n", "bytes": "\x00\xff\r\n", "empty": ""} {
			c.Write("body", body)
			Expect(stdout(s.Connect(ctx, "bob", "--record", name+".txtar", "--body", "body", "ECHO"))).To(Equal(body))
			Expect(c.Run(ctx, "", s.Replay(name+".txtar")...)).To(gexec.Exit(0), name)
		}
		Expect(c.Read("text.txtar")).To(ContainSubstring("alice ask-body 'a ''line''' ECHO\nalice hears-body 'a ''line'''\n"))
		Expect(c.Read("bytes.txtar")).To(ContainSubstring("alice ask-body hex:00ff0d0a ECHO\nalice hears-body hex:00ff0d0a\n"))
	}, limit)

	It("refuses a raw stream, a file that exists, and a large body", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "bob", "--record", "mine.txtar", "--open")).To(failed(2, "--record can.t record the stream of --open"))
		Expect(c.Path("mine.txtar")).NotTo(BeAnExistingFile())
		c.Write("mine.txtar", "mine")
		Expect(s.Connect(ctx, "bob", "--record", "mine.txtar", "TIME")).To(failed(2, "mine.txtar exists, and --record overwrites nothing"))
		Expect(c.Read("mine.txtar")).To(Equal("mine"))
		c.Write("body", strings.Repeat("x", 4097))
		run := s.Connect(ctx, "bob", "--record", "other.txtar", "--body", "body", "ECHO")
		Expect(run).To(gexec.Exit(2))
		Expect(stderr(run)).To(ContainSubstring("a body of 4097 bytes can't be recorded, but at most 4096\n"))
	}, limit)

	It("refuses a password that it can't hide, because it may be part of other words", Label("promise:5"), func(ctx SpecContext) {
		Expect(c.Run(ctx, "test\n", "user", "passwd", "bob", "--password-stdin", "--state", s.state)).To(gexec.Exit(0))
		c.Write("bob.pw", "test\n")
		Expect(s.Connect(ctx, "bob", "--record", "mine.txtar", "ECHO", "the latest")).To(failed(1, "--record can't hide a password of fewer than 8 characters"))
		Expect(c.Path("mine.txtar")).NotTo(BeAnExistingFile())
		Expect(s.Connect(ctx, "bob", "ECHO", "the latest")).To(printed("the latest\n"), "control")
	}, limit)

	It("leaves no file where there was no session", func(ctx SpecContext) {
		c.Write("bob.pw", "a wrong one\n")
		Expect(s.Connect(ctx, "bob", "--record", "mine.txtar", "TIME")).To(gexec.Exit(4))
		Expect(c.Path("mine.txtar")).NotTo(BeAnExistingFile())
	}, limit)
})
