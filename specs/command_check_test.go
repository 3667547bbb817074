package specs

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

// treeOf describes all files below a directory: names, modes, times and contents.
func treeOf(dir string) (tree []string) {
	GinkgoHelper()
	Expect(filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		text, _ := os.ReadFile(path) // nothing of a directory
		tree = append(tree, fmt.Sprintf("%s %v %v %x", path, info.Mode(), info.ModTime(), sha256.Sum256(text)))
		return err
	})).To(Succeed())
	return tree
}

var _ = Describe("The command serve --check", Label("area:command", "command:check"), func() {
	c := withCLI()

	It("says what would be used, makes nothing, and opens neither the port nor the backend", func(ctx SpecContext) {
		var connected atomic.Int32
		backend := listener("tcp", "127.0.0.1:0", func(net.Conn) { connected.Add(1) })
		before := treeOf(c.home)
		s := c.With("SALLYPORT_QUEUE_DEPTH=3").Run(ctx, "", "serve", "--check", "--state", "state", "--listen", backend,
			"--backend", "tcp:"+backend, "--session-limit", "1h", "--idle-timeout", "0")
		Expect(s).To(gexec.Exit(0))
		Expect(stderr(s)).To(BeEmpty())
		for _, line := range []string{
			`state +state`, `log +state/audit\.jsonl`, `users +state/users: 0`, `certificate +state/cert\.pem: made at the start`,
			`listen +` + backend, `backend +tcp:` + backend + ` \(not opened\)`, `to be made +state`,
			`--admission +queue`, `--idle-timeout +0s \(given\)`, `--session-limit +1h0m0s \(given\)`, `--queue-depth +3 \(given\)`,
		} {
			Expect(stdout(s)).To(MatchRegexp(`(?m)^` + line + `$`))
		}
		Expect(treeOf(c.home)).To(Equal(before))
		Expect(connected.Load()).To(BeZero())
	}, limit)

	It("changes nothing beside a running server, or what a start would repair", func(ctx SpecContext) {
		s := c.Serve(ctx)
		Expect(s.Connect(ctx, "alice", "ECHO", "hello")).To(gexec.Exit(0))
		check := func() {
			before := treeOf(c.home)
			checked := c.Run(ctx, "", "serve", "--check", "--state", "state", "--listen", s.addr)
			Expect(checked).To(gexec.Exit(0))
			Expect(stdout(checked)).To(MatchRegexp(`(?m)^certificate +state/cert\.pem: until .* days left\nlisten`))
			Expect(stdout(checked)).To(MatchRegexp(`(?m)^users +state/users: 2$`))
			Expect(treeOf(c.home)).To(Equal(before))
		}
		check()
		s.Kill()
		ended(ctx, s.Session)
		whole := s.LogText()
		c.Write("state/audit.jsonl", whole+`{"torn`)
		check()
		c.Write("state/audit.jsonl", whole)
	}, limit)

	DescribeTable("ends with 1 if serve would not serve", func(ctx SpecContext, spoil func(), why string) {
		s := c.Serve(ctx)
		s.Stop(ctx)
		spoil()
		before := treeOf(c.Path("state"))
		for _, args := range [][]string{{"serve", "--check"}, {"serve", "--listen", "127.0.0.1:0"}} {
			s := c.Run(ctx, "", append(args, "--state", "state")...)
			Expect(s).To(gexec.Exit(1), args)
			Expect(stderr(s)).To(MatchRegexp(why))
			if args[1] == "--check" {
				Expect(stdout(s)).To(BeEmpty())
				Expect(treeOf(c.Path("state"))).To(Equal(before))
			}
		}
	},
		Entry("for its secret", func() { c.Write("state/secret", "none\n") }, "secret: not 64 hex digits", limit),
		Entry("for its certificate", func() { c.Write("state/cert.pem", "none\n") }, "cert.pem", limit),
		Entry("for a key of another certificate", func() {
			c.Write("state/key.pem", c.Read("state/ca-key.pem"))
		}, "private key does not match", limit),
		Entry("because it can make no certificate", func() {
			Expect(os.Remove(c.Path("state/cert.pem"))).To(Succeed())
			Expect(os.Remove(c.Path("state/ca-key.pem"))).To(Succeed())
		}, "the CA's key is missing", limit),
		Entry("for a directory that others can write to", func() {
			Expect(os.Chmod(c.Path("state"), 0o777)).To(Succeed())
		}, "others can write to it", limit),
		Entry("for a log that is no file", func() {
			Expect(os.Remove(c.Path("state/audit.jsonl"))).To(Succeed())
			Expect(os.Mkdir(c.Path("state/audit.jsonl"), 0o700)).To(Succeed())
			DeferCleanup(func() { Expect(os.Remove(c.Path("state/audit.jsonl"))).To(Succeed()) })
		}, "audit.jsonl", limit),
	)

	It("ends with 2 for wrong usage", func(ctx SpecContext) {
		s := c.Run(ctx, "", "serve", "--check", "--state", "state", "--admission", "never")
		Expect(s).To(gexec.Exit(2))
		Expect(c.Path("state")).NotTo(BeADirectory())
	}, limit)
})
