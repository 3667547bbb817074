package specs

import (
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

// promised are the flags that scripts can rely on.
var promised = map[string]string{
	"":        "version",
	"version": "help",
	"serve": "listen state admission queue-depth queue-per-user queue-wait login-timeout idle-timeout session-limit shutdown-grace max-body " +
		"max-lobby max-lobby-per-source trust tls-min require-binding cert key chat backend backend-user backend-timeout log-payload log-sync quiet metrics",
	"connect":      "rig any tag fleet addr ca pin state user password-file password-stdin cert key no-wait body open no-escape linger record",
	"replay":       "addr ca pin state users run list explain parallel repeat timeout keep json junit html init",
	"hold":         "rig any tag fleet addr ca pin state user password-file password-stdin cert key no-wait forward",
	"forward":      "rig any tag fleet addr ca pin state user password-file password-stdin cert key no-wait listen keep once",
	"status":       "addr ca pin state user password-file password-stdin cert key json watch",
	"evict":        "state user conn reason",
	"reload":       "state",
	"stop":         "state now",
	"hosts":        "help",
	"rigs":         "fleet fleet-ca fleet-cert fleet-key tag json watch",
	"user":         "help",
	"user add":     "state password-stdin iterations",
	"user passwd":  "state password-stdin iterations",
	"user remove":  "state",
	"user list":    "state",
	"log":          "help",
	"log show":     "follow user conn event since local state",
	"log sessions": "user since local state",
	"log verify":   "head state",
	"cert":         "help",
	"cert new":     "state host client",
	"cert show":    "state",
}

var _ = Describe("The command's help", Label("area:command", "command:help"), func() {
	It("names every command and flag that is promised", func(ctx SpecContext) {
		c := newCLI()
		for command, flags := range promised {
			help := c.Run(ctx, "", append(strings.Fields(command), "--help")...)
			Expect(help).To(gexec.Exit(0), command)
			Expect(stderr(help)).To(BeEmpty(), command)
			Expect(stdout(help)).To(ContainSubstring(strings.TrimSpace("sallyport " + command)))
			for _, flag := range strings.Fields(flags) {
				Expect(stdout(help)).To(MatchRegexp(`(?m)^ +(-\w, )?--`+flag+`\b`), command)
			}
		}
	}, limit)

	DescribeTable("says version, commit and Go", func(ctx SpecContext, ask string) {
		Expect(newCLI().Run(ctx, "", ask)).To(did(0, MatchRegexp(`^sallyport \S+ commit \S+ go1\.\S+\n$`), ""))
	},
		Entry("in version", "version", limit),
		Entry("with --version", "--version", limit),
	)

	It("lists the flags of serve in groups", func(ctx SpecContext) {
		help := stdout(newCLI().Run(ctx, "", "serve", "--help"))
		group := regexp.MustCompile(`(?m)^(\w[\w ]*):\n((?: .*\n)+)`)
		flag := regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z-]+)`)
		got := map[string][]string{}
		var order []string
		for _, m := range group.FindAllStringSubmatch(help, -1) {
			for _, name := range flag.FindAllStringSubmatch(m[2], -1) {
				got[m[1]] = append(got[m[1]], name[1])
			}
			if got[m[1]] != nil {
				order = append(order, m[1])
			}
		}
		Expect(order).To(Equal([]string{"Who may enter", "Limits", "Log", "TLS", "Backend", "Fleet", "Service"}))
		Expect(got["Who may enter"]).To(ContainElements("admission", "queue-depth", "trust", "require-binding"))
		Expect(got["Limits"]).To(ContainElements("idle-timeout", "max-body"))
		Expect(got["Log"]).To(ContainElements("log-sync", "serve-unlogged"))
		Expect(got["TLS"]).To(ContainElements("cert", "key", "tls-min"))
		Expect(got["Backend"]).To(ContainElements("backend", "console"))
		Expect(got["Service"]).To(ContainElements("listen", "state", "help"))
	}, limit)

	It("is 80 columns wide in a pipe, except what is to be typed", func(ctx SpecContext) {
		c := newCLI()
		for command := range promised {
			for line := range strings.Lines(stdout(c.Run(ctx, "", append(strings.Fields(command), "--help")...))) {
				if !strings.HasPrefix(line, "  sallyport ") && !strings.Contains(line, " | sallyport ") {
					Expect(len(line)).To(BeNumerically("<=", 81), line)
				}
			}
		}
	}, limit)

	It("is the same in help COMMAND", func(ctx SpecContext) {
		c := newCLI()
		for _, command := range []string{"", "serve", "user add"} {
			words := strings.Fields(command)
			help := c.Run(ctx, "", append([]string{"help"}, words...)...)
			Expect(help).To(printed(stdout(c.Run(ctx, "", append(words, "--help")...))))
		}
	}, limit)

	It("completes commands and flags in a shell", func(ctx SpecContext) {
		c := newCLI()
		bash := c.Run(ctx, "", "completion", "bash")
		Expect(bash).To(gexec.Exit(0))
		Expect(stdout(bash)).To(ContainSubstring("sallyport"))
		Expect(stdout(c.Run(ctx, "", "__complete", "co"))).To(ContainSubstring("connect"))
		Expect(stdout(c.Run(ctx, "", "__complete", "serve", "--adm"))).To(ContainSubstring("--admission"))
	}, limit)

	DescribeTable("completes values", func(ctx SpecContext, pattern string, args ...string) {
		c := newCLI()
		c.AddUser(ctx, c.Path("state"), "alice", "bob")
		Expect(stdout(c.Run(ctx, "", append([]string{"__complete"}, args...)...))).To(MatchRegexp(pattern))
	},
		Entry("of a choice", `^queue\t.*\nreject\t.*\ntakeover\t.*\n:36\n$`, "serve", "--admission", "", limit),
		Entry("of another command's choice", `^1.3\n1.2\n:36\n$`, "connect", "--tls-min", "", limit),
		Entry("that are directories", `^:16\n$`, "serve", "--state", "", limit),
		Entry("that are files", `^:0\n$`, "serve", "--cert", "", limit),
		Entry("that are no files", `^:4\n$`, "serve", "--listen", "", limit),
		Entry("to which more belongs", `^tcp:\t.*\n(.*\n)*:6\n$`, "serve", "--backend", "", limit),
		Entry("that are users", `^alice\nbob\n:4\n$`, "user", "passwd", "--state", "state", "", limit),
		Entry("of no argument", `^:4\n$`, "serve", "", limit),
	)
})
