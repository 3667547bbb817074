package specs

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/scenarios/testserver"
)

// Scenarios that a person might write.
const (
	goodScenario = "# promise:1 Good.\nalice login\nalice ask ECHO hello\nalice hears 250 hello\nalice quit\n"
	badReply     = "# Wrong.\nalice login\nalice ask ECHO hello\nalice hears 250 goodbye\n"
	ownScenario  = "# promise:5 It looks into the log.\nalice login\nlog has event=session.open\n"
)

// endless waits for a notice that never comes.
const endless = "# Endless.\nalice login\nalice notices never\n"

// Scenario writes a scenario file into the folder mine.
func (c *cli) Scenario(name, text string) string {
	GinkgoHelper()
	Expect(os.MkdirAll(c.Path("mine"), 0o700)).To(Succeed())
	c.Write("mine/"+name+".txtar", text)
	return "mine/" + name + ".txtar"
}

// UsersFile writes a users file for replay, with passwords of testserver.
func (c *cli) UsersFile(names ...string) string {
	GinkgoHelper()
	var lines strings.Builder
	for _, name := range names {
		fmt.Fprintf(&lines, "%s:%s\n", name, testserver.Password(name))
	}
	c.Write("users", lines.String())
	return "users"
}

// Replay returns the arguments that run scenarios against this server.
func (s *service) Replay(args ...string) []string {
	return append([]string{"replay", "--addr", s.addr, "--ca", s.state + "/ca.pem", "--users", "users"}, args...)
}

var _ = Describe("The command replay", Label("area:command", "area:scenarios"), func() {
	c := withCLI()

	It("runs the scenarios of a folder in the process, and prints each result", func(ctx SpecContext) {
		c.Scenario("b", badReply)
		c.Scenario("a", goodScenario)
		c.Scenario("c", "# Skipped.\nskip 'no reason'\n")
		run := c.Run(ctx, "", "replay", "mine")
		Expect(run).To(did(1, MatchRegexp(`^ok    a \(\d\.\d\d s\)
FAIL  b \(\d\.\d\d s\)
      mine/b.txtar:4: alice hears 250 goodbye: expected 250 goodbye
      heard    250 hello
      claim: Wrong\.
      alone: \S+ replay --run '\^b\$' mine
skip  c: no reason
1 passed, 1 failed, 1 skipped in \d\.\d s
  1 skipped: no reason
$`), ""))
	}, limit)

	It("prints the command that runs a failed case by itself", func(ctx SpecContext) {
		c.Scenario("a", goodScenario)
		c.Scenario("b it's", "# Wrong.\nmatrix mechanism=plus,plain\n"+strings.TrimPrefix(badReply, "# Wrong.\n"))
		run := c.Run(ctx, "", "replay", "--timeout", "5s", "mine")
		alone := regexp.MustCompile(`alone: (.+)`).FindAllStringSubmatch(stdout(run), -1)
		Expect(alone).To(HaveLen(2))
		again := c.Shell(ctx, "", alone[1][1])
		Expect(again).To(gexec.Exit(1))
		Expect(stdout(again)).To(SatisfyAll(
			ContainSubstring("FAIL  b it's [mechanism=plain] ("), ContainSubstring("0 passed, 1 failed, 0 skipped")))
	}, limit)

	It("runs the scenarios that come with it, without a path", func(ctx SpecContext) {
		run := c.Run(ctx, "", "replay", "--run", "^protocol/verbs$", "--repeat", "3", "--parallel", "2")
		Expect(run).To(gexec.Exit(0))
		Expect(stdout(run)).To(SatisfyAll(
			HavePrefix("ok    protocol/verbs ("), ContainSubstring("\n3 passed, 0 failed, 0 skipped in")))
	}, limit)

	It("lists them, and where each can run", func(ctx SpecContext) {
		c.Scenario("a", goodScenario)
		c.Scenario("b", ownScenario)
		Expect(c.Run(ctx, "", "replay", "--list", "mine")).To(printed(
			"a  anywhere    promise:1  Good.\nb  in process  promise:5  It looks into the log.\n"))
		all := c.Run(ctx, "", "replay", "--list")
		Expect(all).To(gexec.Exit(0))
		Expect(strings.Count(stdout(all), "\n")).To(BeNumerically(">=", 60))
		Expect(strings.Count(stdout(all), "  anywhere  ")).To(BeNumerically(">=", 25))
	}, limit)

	It("escapes what a file or a label has for the terminal", func(ctx SpecContext) {
		c.Scenario("a\x1b[2Jb", "# x:\x1b]0;title\x07 Wrong\u202e.\nalice login\nalice ask WHOAMI\nalice hears 250 '\x1b'\n")
		c.Scenario("c\x1b", "# Skipped.\nskip \x1b\n")
		c.Scenario("d\x1b", goodScenario)
		list := c.Run(ctx, "", "replay", "--list", "mine")
		Expect(stdout(list)).To(ContainSubstring(`a\x1b[2Jb  anywhere  x:\x1b]0;title\a`))
		run := c.Run(ctx, "", "replay", "mine")
		Expect(stdout(run)).To(SatisfyAll(
			ContainSubstring(`FAIL  a\x1b[2Jb (`), ContainSubstring(`skip  c\x1b: \x1b`), ContainSubstring(`ok    d\x1b (`)))
		Expect(stdout(list) + stdout(run)).NotTo(MatchRegexp("[\x00-\x08\x0b-\x1f\u202e]"))
	}, limit)

	It("explains the language", func(ctx SpecContext) {
		Expect(stdout(c.Run(ctx, "", "replay", "--explain"))).To(SatisfyAll(
			ContainSubstring("alice verb [argument...]"), ContainSubstring("[own]")))
		Expect(stdout(c.Run(ctx, "", "replay", "--explain", "eve"))).To(ContainSubstring("saw TEXT: "))
	}, limit)

	DescribeTable("refuses wrong usage", func(ctx SpecContext, pattern string, args ...string) {
		c.Scenario("a", goodScenario)
		c.UsersFile("alice")
		Expect(c.Run(ctx, "", append([]string{"replay"}, args...)...)).To(failed(2, pattern))
	},
		Entry("an invalid regexp", "--run: error parsing regexp", "--run", "(", "mine", limit),
		Entry("a regexp that matches nothing", `no scenario has a name that matches "zzz"`, "--run", "zzz", "mine", limit),
		Entry("no repetition", "--repeat and --parallel must be at least 1", "--repeat", "0", "mine", limit),
		Entry("less than one at once", "--repeat and --parallel must be at least 1", "--parallel", "-1", "mine", limit),
		Entry("no time", "--timeout must be more than 0", "--timeout", "0s", "mine", limit),
		Entry("files of several runs in one place", "--keep keeps one run of each", "--keep", "kept", "--repeat", "2", "mine", limit),
		Entry("users without a server", "--users is for a running server", "--users", "users", "mine", limit),
		Entry("a server without users", "--addr needs --users", "--addr", "127.0.0.1:1", "mine", limit),
		Entry("several at once where there is one seat", "--parallel is for servers in the process: .*one seat", "--addr", "127.0.0.1:1", "--users", "users", "--parallel", "2", "mine", limit),
		Entry("a path with --init", "--init takes no PATH", "--init", "new", "mine", limit),
		Entry("two things at once", "--list, --explain and --init exclude each other", "--init", "new", "--list", limit),
		Entry("an unknown command", `there is no command "mallard"; there are: alice`, "--explain", "mallard", limit),
	)

	It("prints every fault of the files in a line each, and runs nothing", func(ctx SpecContext) {
		c.Scenario("a", goodScenario)
		c.Scenario("b", "# Faulty.\nalice logs in\n")
		c.Scenario("c", "# Faulty.\nalice login\nalice hears 250 '('\n")
		c.Scenario("long", "# Faulty.\nalice ask ECHO "+strings.Repeat("x", 10<<20)+"\n")
		c.Scenario("utf-16", "#\x00 \x00F\x00\n\x00")
		run := c.Run(ctx, "", "replay", "mine", "nowhere")
		Expect(run).To(did(1, "", MatchRegexp(`^mine/b.txtar:2: can't "logs"; [^\n]+
mine/c.txtar:3: bad regexp "\(": [^\n]+
mine/long.txtar:2: the line has more than 16384 bytes
mine/utf-16.txtar:1: the line has a NUL: [^\n]+
nowhere: no such file or directory
sallyport replay: nothing was run
$`)))
	}, limit)

	It("ends an endless wait at the time-out of the step, and says what it waited for", func(ctx SpecContext) {
		c.Scenario("a", "# Endless.\nalice notices never\n")
		run := c.Run(ctx, "", "replay", "--timeout", "20ms", "mine")
		Expect(run).To(gexec.Exit(1))
		Expect(stdout(run)).To(ContainSubstring(`mine/a.txtar:2: alice notices never: nothing of the kind within 20ms: expected a notice "never", came []`))
	}, limit)

	DescribeTable("ends cleanly at a signal, with the results so far", func(ctx SpecContext, parallel string) {
		c.Scenario("a", goodScenario)
		c.Scenario("b", endless)
		c.Scenario("c", goodScenario)
		run := c.Start("replay", "--timeout", "1h", "--parallel", parallel, "--json", "report", "mine")
		says(ctx, run, "ok    a ")
		exits(ctx, run.Interrupt(), 1)
		Expect(stdout(run)).To(ContainSubstring("\n1 passed, 0 failed, 0 skipped in "))
		Expect(stdout(run)).To(HaveSuffix("\n  2 not run\n"))
		Expect(stderr(run)).To(MatchRegexp(`^sallyport replay: .*interrupt.*\n$`))
		Expect(c.Read("report")).To(ContainSubstring(`"passed": 1,`))
	},
		Entry("one at a time", "1", limit),
		Entry("several at once", "3", limit),
	)

	It("keeps the files of a scenario where it is asked to", func(ctx SpecContext) {
		c.Scenario("a", goodScenario+"-- kept --\nthis\n")
		Expect(c.Run(ctx, "", "replay", "--keep", "files", "mine")).To(gexec.Exit(0))
		Expect(c.Read("files/a/kept")).To(Equal("this\n"))
	}, limit)

	It("writes a first scenario that runs at once", func(ctx SpecContext) {
		start := c.Run(ctx, "", "replay", "--init", "new/mine")
		Expect(start).To(gexec.Exit(0))
		next := regexp.MustCompile(`; next: (.+)\n$`).FindStringSubmatch(stdout(start))
		Expect(next).NotTo(BeNil())
		Expect(c.Shell(ctx, "", next[1])).To(gexec.Exit(0))
		info, err := os.Stat(c.Path("new/mine/users"))
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
		Expect(c.Read("new/mine/README.md")).To(ContainSubstring("replay new/mine\n"))
		Expect(c.Run(ctx, "", "replay", "--init", "new/mine")).To(failed(1, "new/mine: the directory is not empty .*nothing was written"))
	}, limit)
})
