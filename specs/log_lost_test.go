package specs

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("The interaction log's file", Label("area:log", "promise:5"), func() {
	truncate := func(path string) error { return os.Truncate(path, 0) }
	cut := func(path string) error { return os.Truncate(path, 700) }
	move := func(path string) error { return os.Rename(path, path+".1") }

	DescribeTable("is begun anew before the next reply, when it was lost between two requests", Label("area:command"),
		func(ctx SpecContext, lose func(path string) error, why string) {
			c := newCLI()
			s := c.Serve(ctx)
			alice, in := s.Seated(ctx, "alice")
			before, level, lost := s.LogText(), "info", ""
			if did := map[string]string{"truncated": "was truncated", "vanished": "has vanished"}[why]; did != "" {
				level, lost = "error", fmt.Sprintf("; that file %s, after %d bytes had been written to it", did, len(before))
			}
			Expect(lose(s.Log())).To(Succeed())
			say(in, "ECHO after\n")
			says(ctx, alice, "after\n")
			Expect(s.LogText()).To(And(
				MatchRegexp(`^\{"time":"[^"]+","level":"%s","event":"log.rotate","why":"%s","size":%d,"head":"%s",`, level, why, len(before), headOf(before)),
				ContainSubstring(`"n":2,"verb":"ECHO"`)))
			Expect(in.Close()).To(Succeed())
			exits(ctx, alice, 0)
			head := s.Stop(ctx)
			Expect(stdout(c.Run(ctx, "", "log", "verify", "--head", head, s.Log()))).To(And(
				MatchRegexp(`: \d+ lines, with that --head, head %s\n`, head),
				HaveSuffix("continues the log with the head "+headOf(before)+lost+"\n")))
			if old := c.Read("state/audit.jsonl.1"); old != "" {
				Expect(old).To(Equal(before))
				Expect(stdout(c.Run(ctx, "", "log", "verify", "state/audit.jsonl.1", s.Log()))).To(
					MatchRegexp(`^state/audit.jsonl.1 to \S+, 2 files: \d+ lines, [^\n]*\n$`))
			}
		},
		Entry("emptied, as copytruncate does", truncate, "truncated", limit),
		Entry("cut within a line", cut, "truncated", limit),
		Entry("removed", os.Remove, "vanished", limit),
		Entry("moved, before a SIGHUP comes", move, "signal", limit),
		Entry("moved, with another in its place", func(path string) error {
			Expect(move(path)).To(Succeed())
			return os.WriteFile(path, nil, 0o600)
		}, "signal", limit),
	)

	DescribeTable("is begun anew in the middle of a pipeline", func(ctx SpecContext, lose func(path string) error, why string) {
		path := newCLI().Path("audit.jsonl")
		log, err := audit.Open(path, audit.Options{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(log.Close)
		alice := start(func(s *server.Server) { s.Audit = log }).Connect(ctx).Seated("alice")
		alice.Send("ECHO 1\r\nECHO 2\r\nECHO ")
		Expect([]string{alice.Line(), alice.Line()}).To(Equal([]string{"250 1", "250 2"}))
		Expect(lose(path)).To(Succeed())
		alice.Send("3\r\nECHO 4\r\nECHO")
		Expect([]string{alice.Line(), alice.Line()}).To(Equal([]string{"250 3", "250 4"}))
		text, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(text)).To(MatchRegexp(
			`^[^\n]*"log.rotate","why":"%s"[^\n]*\n([^\n]*"log.repair"[^\n]*\n)?[^\n]*"n":3,[^\n]*\n[^\n]*"n":4,[^\n]*\n$`, why))
		Expect(harness.CheckLog(string(text), harness.Payload{})).To(Succeed())
	},
		Entry("emptied", truncate, "truncated", limit),
		Entry("cut within a line", cut, "truncated", limit),
		Entry("removed", os.Remove, "vanished", limit),
		Entry("moved", move, "signal", limit),
	)

	It("stops the server when it can't be begun anew, until it can", Label("area:command"), func(ctx SpecContext) {
		c := newCLI()
		s := c.Serve(ctx)
		alice, in := s.Seated(ctx, "alice")
		Expect(os.Remove(s.Log())).To(Succeed())
		Expect(os.Mkdir(s.Log(), 0o700)).To(Succeed())
		say(in, "ECHO unlogged\n")
		exits(ctx, alice, 1)
		Expect(stdout(alice)).NotTo(ContainSubstring("unlogged"))
		Expect(stderr(alice)).To(ContainSubstring("421 log-failed"))
		Expect(stderr(s.Session)).To(ContainSubstring("the log must be a regular file"))
		Expect(s.Connect(ctx, "bob", "WHOAMI")).To(failed(1, "421 log-failed"))
		Expect(os.Remove(s.Log())).To(Succeed())
		Expect(s.Connect(ctx, "bob", "WHOAMI")).To(printed("bob\n"))
		Expect(c.Run(ctx, "", "log", "verify", "--head", s.Stop(ctx), s.Log())).To(gexec.Exit(0))
	}, limit)

	It("says that a SIGHUP has rotated it, also if a request comes before the SIGHUP", Label("area:command"), func(ctx SpecContext) {
		c := newCLI()
		s := c.Serve(ctx)
		rotate := func(to string, before func()) string {
			Expect(os.Rename(s.Log(), c.Path(to))).To(Succeed())
			before()
			says(ctx, s.Signal(syscall.SIGHUP).Err, "reloaded")
			return s.LogText()
		}
		Expect(rotate("1", func() {})).To(MatchRegexp(`^[^\n]*"level":"info","event":"log.rotate","why":"signal","size":%d,"head":"`, len(c.Read("1"))))
		late := rotate("2", func() { Expect(s.Connect(ctx, "alice", "WHOAMI")).To(gexec.Exit(0)) })
		Expect(late).To(MatchRegexp(`^[^\n]*"level":"info","event":"log.rotate","why":"signal","size":%d,`, len(c.Read("2"))))
		Expect(strings.Count(late, "log.rotate")).To(Equal(1))
		Expect(c.Run(ctx, "", "log", "verify", "--head", s.Stop(ctx), "1", "2", s.Log())).To(gexec.Exit(0))
	}, limit)

	It("warns once when its disk is nearly full, before it is", Label("area:command"), func(ctx SpecContext) {
		c := newCLI()
		small := c.Path("small")
		Expect(os.Mkdir(small, 0o700)).To(Succeed())
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=20m,mode=700", "tmpfs", small).CombinedOutput(); err != nil {
			Skip(fmt.Sprintf("can't mount a small disk: %v: %s", err, out))
		}
		DeferCleanup(func() { Expect(exec.Command("umount", "--lazy", small).Run()).To(Succeed()) })
		c.AddUser(ctx, small, "alice")
		s := c.ServeOn(ctx, small)
		Expect(s.Connect(ctx, "alice", "WHOAMI")).To(printed("alice\n"))
		Expect(s.Connect(ctx, "alice", "WHOAMI")).To(printed("alice\n"))
		s.Stop(ctx)
		Expect(strings.Count(stderr(s.Session), "the disk of the interaction log is nearly full")).To(Equal(1))
		Expect(strings.Count(s.LogText(), `"level":"warn","event":"log.space","free":`)).To(Equal(1))
		Expect(c.Run(ctx, "", "log", "verify", s.Log())).To(gexec.Exit(0))

		wide := c.Serve(ctx)
		wide.Stop(ctx)
		Expect(wide.LogText()).NotTo(ContainSubstring("log.space"), "control: another disk")
	}, limit)

	DescribeTable("is refused if it is no file", Label("area:command"), func(ctx SpecContext, make func(path string) error) {
		c := newCLI()
		Expect(os.Mkdir(c.Path("state"), 0o700)).To(Succeed())
		Expect(make(c.Path("state/audit.jsonl"))).To(Succeed())
		Expect(c.Run(ctx, "", "serve", "--listen", "127.0.0.1:0", "--state", "state")).To(
			failed(1, "state/audit.jsonl: the log must be a regular file: move away what has its name"))
		Expect(os.RemoveAll(c.Path("state/audit.jsonl"))).To(Succeed())
		c.ServeOn(ctx, c.Path("state"))
	},
		Entry("but a pipe", func(path string) error { return exec.Command("mkfifo", path).Run() }, limit),
		Entry("but a device", func(path string) error { return os.Symlink("/dev/null", path) }, limit),
		Entry("but a folder", func(path string) error { return os.Mkdir(path, 0o700) }, limit),
	)
})

// headOf returns the chain value of a log's last line.
func headOf(log string) string {
	_, head, _ := strings.Cut(log[strings.LastIndex(log, `,"chain":"`):], `,"chain":"`)
	return strings.TrimSuffix(head, "\"}\n")
}
