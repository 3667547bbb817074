package specs

import (
	"os"
	"path/filepath"
	"regexp"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/scenarios/testserver"
)

// stateFiles are what a server needs to run.
var stateFiles = []string{"ca.pem", "ca-key.pem", "cert.pem", "key.pem", "users", "secret", "audit.jsonl"}

var _ = Describe("The command's first evening", Label("area:command"), func() {
	c := withCLI()

	It("makes all files that a server needs, unreadable for other users", Label("promise:4"), func(ctx SpecContext) {
		state := c.ServeOn(ctx, c.Path("new/state")).state
		Expect(mode(state)).To(Equal(os.ModeDir | 0o700))
		entries, err := os.ReadDir(state)
		Expect(err).NotTo(HaveOccurred())
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
			Expect(mode(filepath.Join(state, e.Name())).Perm()).To(Equal(os.FileMode(0o600)), e.Name())
		}
		Expect(names).To(ContainElements(stateFiles))
	}, limit)

	DescribeTable("prints the next command to type, which works as it is",
		func(ctx SpecContext, env func(home string) string, flags ...string) {
			c := c.With(env(c.home))
			args := append([]string{"serve", "--listen", "127.0.0.1:0"}, flags...)
			server := c.Start(args...)
			next := awaitListening(ctx, server)[2]
			Expect(next).To(ContainSubstring(" user add alice"))

			added := c.Shell(ctx, testserver.Password("alice")+"\n", next+" --password-stdin --iterations 4096")
			Expect(added).To(gexec.Exit(0))
			m := regexp.MustCompile(`^added alice; next: (.* connect --user alice.*)\n$`).FindStringSubmatch(stderr(added))
			Expect(m).NotTo(BeNil())
			hello := c.Shell(ctx, testserver.Password("alice")+"\n", m[1]+" --password-stdin ECHO hello")
			Expect(hello).To(printed("hello\n"))

			exits(ctx, server.Terminate(), 0)
			next = awaitListening(ctx, c.Start(args...))[2]
			Expect(next).To(ContainSubstring(" connect --user alice"))
			Expect(c.Shell(ctx, testserver.Password("alice")+"\n", next+" --password-stdin WHOAMI")).To(printed("alice\n"))
		},
		Entry("with no flag", func(string) string { return "LANG=C" }, limit),
		Entry("with $XDG_STATE_HOME", func(home string) string { return "XDG_STATE_HOME=" + home + "/xdg" }, limit),
		Entry("with --state and a path that a shell needs in quotes",
			func(string) string { return "LANG=C" }, "--state", "it's $HOME", limit),
	)

	It("prints how to reach it if it listens on every address", func(ctx SpecContext) {
		c.AddUser(ctx, "state", "alice")
		server := c.Start("serve", "--listen", "0.0.0.0:0", "--state", "state")
		next := awaitListening(ctx, server)[2]
		Expect(c.Shell(ctx, "", next+" --password-file alice.pw WHOAMI")).To(printed("alice\n"))
	}, limit)

	It("has its default state where --state can name it", Label("control"), func(ctx SpecContext) {
		c.AddUser(ctx, c.Path(".local/state/sallyport"), "alice")
		Expect(c.Run(ctx, "", "user", "list")).To(printed("alice  4096 iterations\n"))
		Expect(c.With("XDG_STATE_HOME="+c.Path("xdg")).Run(ctx, "", "user", "list")).To(printed(""))
	}, limit)
})

func mode(path string) os.FileMode {
	GinkgoHelper()
	info, err := os.Stat(path)
	Expect(err).NotTo(HaveOccurred())
	return info.Mode()
}
