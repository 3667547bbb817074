package specs

import (
	"bytes"
	"compress/gzip"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

var _ = Describe("The command log", Label("area:command", "area:log", "promise:5"), func() {
	c := withCLI()
	s := c.withServer("--log-payload")

	show := func(ctx SpecContext, args ...string) string {
		GinkgoHelper()
		run := c.Run(ctx, "", append([]string{"log", "show"}, append(args, s.Log())...)...)
		Expect(run).To(gexec.Exit(0))
		Expect(stderr(run)).To(BeEmpty())
		return stdout(run)
	}

	It("shows a line for each event, without colour where there is no terminal", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "alice", "ECHO", "hello")).To(gexec.Exit(0))
		s.Stop(ctx)
		shown := show(ctx)
		Expect(strings.Count(shown, "\n")).To(Equal(strings.Count(s.LogText(), "\n")))
		Expect(shown).NotTo(ContainSubstring("\x1b"))
		Expect(shown).To(MatchRegexp(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z \S+ +request +n=1 verb=ECHO .*duration=[0-9.]+ [nµm]?s argument=hello$`))
	}, limit)

	It("makes visible what a terminal would obey or hide", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "alice", "ECHO", "gnp.\u202eexe\u200b")).To(printed("gnp.\u202eexe\u200b\n"))
		Expect(s.LogText()).To(ContainSubstring("\u202e"), "control: it is there")
		Expect(show(ctx)).To(ContainSubstring(`argument="gnp.\u202eexe\u200b"`))
		c.Write("forged", `{"time":"now\u001b[2J","event":"\u0007","x":"\u001b]0;title\u0007"}`+"\n\x1b[31mno record\r\n")
		forged := c.Run(ctx, "", "log", "show", "forged")
		Expect(forged).To(gexec.Exit(0))
		Expect(stdout(forged)).To(MatchRegexp(`^[\x20-\x7e\n]*$`))
		Expect(stdout(forged)).To(ContainSubstring(`! "\x1b[31mno record\r"`))
	}, limit)

	It("shows one user's events, one connection's and those of some names", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "alice", "ECHO", "of alice")).To(gexec.Exit(0))
		Expect(s.Connect(ctx, "bob", "ECHO", "of bob")).To(gexec.Exit(0))
		s.Stop(ctx)
		all := show(ctx)
		Expect(all).To(SatisfyAll(ContainSubstring("of alice"), ContainSubstring("of bob")), "control")
		Expect(show(ctx, "--user", "bob")).To(SatisfyAll(
			Not(ContainSubstring("alice")), ContainSubstring("of bob"), ContainSubstring("session.close")))
		bobs := regexp.MustCompile(`Z (\S+) +login.ok +user=bob`).FindStringSubmatch(all)
		Expect(bobs).NotTo(BeNil())
		Expect(show(ctx, "--conn", bobs[1])).To(SatisfyAll(
			Not(ContainSubstring("alice")), ContainSubstring("of bob"), ContainSubstring("conn.accept")))
		Expect(strings.Count(show(ctx, "--event", "session.open"), "\n")).To(Equal(2))
		Expect(strings.Count(show(ctx, "--event", "session.open", "--event", "login.ok", "--conn", bobs[1]), "\n")).To(Equal(2))
		for _, none := range [][]string{{"--user", "carol"}, {"--conn", "nosuch"}} {
			run := c.Run(ctx, "", append([]string{"log", "show", s.Log()}, none...)...)
			Expect(run).To(did(0, "", "nothing in the log matches\n"))
		}
	}, limit)

	It("shows UTC, and local time with --local", func(ctx SpecContext) {
		c := c.With("TZ=Etc/GMT-3")
		c.Write("log", `{"time":"2026-03-01T23:30:00.000000Z","event":"x"}`+"\n")
		Expect(c.Run(ctx, "", "log", "show", "log")).To(printed("2026-03-01 23:30:00.000Z -        x\n"))
		Expect(c.Run(ctx, "", "log", "show", "--local", "log")).To(printed("2026-03-02 02:30:00.000+03:00 -        x\n"))
	}, limit)

	It("shows each session in a line, and which is still open", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "alice", "ECHO", "hello")).To(gexec.Exit(0))
		s.Seated(ctx, "bob")
		sessions := func(flags ...string) *gexec.Session {
			return c.Run(ctx, "", append([]string{"log", "sessions", "--state", s.state}, flags...)...)
		}
		const alices = `\S+ \S+Z \S+ +alice +from 127.0.0.1:\d+ +[0-9.]+ [µm]?s +2 requests +quit\n`
		const bobs = `\S+ \S+Z \S+ +bob +from 127.0.0.1:\d+ +[0-9.]+ [nµm]?s +1 request +still open\n`
		Expect(stdout(sessions())).To(MatchRegexp("^" + alices + bobs + "$"))
		Expect(stdout(sessions("--user", "alice"))).To(MatchRegexp("^" + alices + "$"))
		Expect(sessions("--since", time.Now().Add(time.Hour).Format(time.RFC3339))).To(printed(""))
		Expect(stdout(sessions("--local"))).To(MatchRegexp(`^\S+ \S+(Z|[+-]\d\d:\d\d) `))
	}, limit)

	It("takes the files of a rotated log, packed or on standard input", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "alice", "ECHO", "hello")).To(gexec.Exit(0))
		Expect(os.Rename(s.Log(), c.Path("audit.1"))).To(Succeed())
		says(ctx, s.Signal(syscall.SIGHUP).Err, "reloaded")
		Expect(s.Connect(ctx, "bob", "ECHO", "hello")).To(gexec.Exit(0))
		head := s.Stop(ctx)
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		say(zip, c.Read("audit.1"))
		Expect(zip.Close()).To(Succeed())
		c.Write("audit.1.gz", packed.String())

		for _, files := range [][]string{{"audit.1", s.Log()}, {"audit.1.gz", s.Log()}, {"audit.1.gz", "-"}} {
			run := func(args ...string) *gexec.Session {
				run := c.Run(ctx, s.LogText(), append(append([]string{"log"}, args...), files...)...)
				Expect(stderr(run)).To(BeEmpty())
				return run
			}
			Expect(stdout(run("sessions"))).To(MatchRegexp(`^.* alice .* quit\n.* bob .* quit\n$`))
			Expect(stdout(run("show", "--event", "session.open"))).To(MatchRegexp(`^.* user=alice.*\n.* user=bob.*\n$`))
			Expect(stdout(run("verify"))).To(MatchRegexp(`^audit.1\S* to \S+, 2 files: \d+ lines, no --head checked, head ` + head + `\n$`))
			Expect(run("verify", "--head", head)).To(gexec.Exit(0))
		}
		older := stdout(c.Run(ctx, "", "log", "verify", "audit.1"))
		Expect(stdout(c.Run(ctx, "", "log", "verify", "--head", head, s.Log()))).To(
			HaveSuffix("audit.jsonl continues the log with the head " + older[strings.LastIndex(older, " ")+1:]))
		swapped := c.Run(ctx, "", "log", "verify", s.Log(), "audit.1")
		Expect(swapped).To(gexec.Exit(1))
		Expect(stdout(swapped)).To(MatchRegexp(`^audit.1:1: chain mismatch: this file does not continue [^\n]*\n$`))
		Expect(c.Run(ctx, "", "log", "verify", "--head", head, "audit.1")).To(SatisfyAll(
			gexec.Exit(1), WithTransform(stdout, MatchRegexp(`^audit.1:\d+: head not found`))), "the newest is missing")
	}, limit)

	It("refuses what is not an interaction log", func(ctx SpecContext) {
		c.Write("photo", "GIF89a\x1b[2J\n")
		const refusal = "this is not an interaction log: no line at its start is a record"
		for _, file := range []string{"photo", "-"} {
			Expect(c.Run(ctx, "GIF89a", "log", "show", file)).To(failed(1, file+": "+refusal))
			Expect(c.Run(ctx, "GIF89a", "log", "sessions", s.Log(), file)).To(failed(1, file+": "+refusal))
			verified := c.Run(ctx, "GIF89a", "log", "verify", file)
			Expect(verified).To(gexec.Exit(1))
			Expect(stdout(verified)).To(Equal(file + ":1: " + refusal + "\n"))
		}
		Expect(c.Run(ctx, "", "log", "show", c.home)).To(failed(1, "is a directory"))
		Expect(c.Run(ctx, "", "log", "show", "--follow", "-")).To(failed(2, "--follow waits for more of a file, not of standard input"))
	}, limit)

	It("shows the rest of a log that a crash has torn", func(ctx SpecContext) {
		s.Stop(ctx)
		c.Write("torn", s.LogText()+`{"time":"2026`)
		Expect(stdout(c.Run(ctx, "", "log", "show", "torn"))).To(Equal(show(ctx) + `! "{\"time\":\"2026"` + "\n"))
		Expect(c.Run(ctx, "", "log", "sessions", "torn")).To(printed(""))
	}, limit)

	It("shows what is young enough with --since", func(ctx SpecContext) {
		Expect(show(ctx, "--since", "1h")).To(ContainSubstring("server.start"))
		Expect(show(ctx, "--since", "2026-01-01")).To(ContainSubstring("server.start"))
		Expect(show(ctx, "--since", time.Now().Add(time.Hour).Format(time.RFC3339))).To(BeEmpty())
	}, limit)

	It("follows a log, across its rotation, until it is interrupted", func(ctx SpecContext) {
		following := c.Start("log", "show", "--follow", s.Log())
		says(ctx, following, "server.start")
		Expect(s.Connect(ctx, "alice", "ECHO", "one")).To(gexec.Exit(0))
		says(ctx, following, "session.close")
		Expect(os.Rename(s.Log(), s.Log()+".1")).To(Succeed())
		says(ctx, s.Signal(syscall.SIGHUP).Err, "reloaded")
		Expect(s.Connect(ctx, "bob", "ECHO", "two")).To(gexec.Exit(0))
		says(ctx, following, "argument=two")
		exits(ctx, following.Interrupt(), 0)
	}, limit)

	It("verifies a sound log, and names the line of one that was edited, with exit code 1", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "alice", "ECHO", "hello")).To(gexec.Exit(0))
		head := s.Stop(ctx)
		sound := c.Run(ctx, "", "log", "verify", s.Log())
		Expect(sound).To(gexec.Exit(0))
		Expect(stdout(sound)).To(MatchRegexp(`audit\.jsonl: \d+ lines, no --head checked, head ` + head + `\n$`))

		lines := strings.SplitAfter(s.LogText(), "\n")
		lines[3] = strings.Replace(lines[3], `"alice"`, `"mallory"`, 1)
		Expect(lines[3]).To(ContainSubstring("mallory"))
		c.Write("edited", strings.Join(lines, ""))
		edited := c.Run(ctx, "", "log", "verify", "edited")
		Expect(edited).To(did(1, MatchRegexp(`^edited:4: chain mismatch[^\n]*\n$`), ""))
	}, limit)

	It("verifies with the head that --head gives, and with nothing less", func(ctx SpecContext) {
		head := s.Stop(ctx)
		run := c.Run(ctx, "", "log", "verify", "--head", strings.ToUpper(head), s.Log())
		Expect(run).To(gexec.Exit(0))
		Expect(stdout(run)).To(MatchRegexp(`audit\.jsonl: \d+ lines, with that --head, head ` + head + `\n$`))
		for _, none := range []string{"", head[1:], head + "0", "x" + head[1:]} {
			Expect(c.Run(ctx, "", "log", "verify", "--head", none, s.Log())).To(failed(2, `--head is 64 hex digits, not "`+none+`"`))
		}
	}, limit)

	It("takes the log of the state directory where none is named", func(ctx SpecContext) {
		Expect(stdout(c.Run(ctx, "", "log", "show", "--state", s.state))).To(ContainSubstring("server.start"))
		verified := c.Run(ctx, "", "log", "verify", "--state", s.state)
		Expect(verified).To(gexec.Exit(0))
		Expect(stdout(verified)).To(HavePrefix(s.Log() + ": "))
		Expect(c.Run(ctx, "", "log", "verify")).To(failed(1, "sallyport/audit.jsonl: no such file"), "control")
	}, limit)
})
