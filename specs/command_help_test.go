package specs

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

// promised are the flags that scripts can rely on.
var promised = map[string]string{
	"": "version",
	"serve": "listen state admission queue-depth queue-per-user queue-wait login-timeout idle-timeout session-limit shutdown-grace max-body " +
		"max-lobby max-lobby-per-source trust tls-min require-binding cert key chat backend backend-user backend-timeout log-payload log-sync",
	"connect":      "addr ca state user password-file password-stdin no-wait body open no-escape linger record",
	"replay":       "addr ca state users run list explain parallel repeat timeout keep json junit html init",
	"hold":         "addr ca state user password-file password-stdin no-wait forward",
	"forward":      "addr ca state user password-file password-stdin no-wait listen keep once",
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
	"cert new":     "state host",
}

var _ = Describe("The command's help", Label("area:command"), func() {
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

	It("says version, commit and Go", func(ctx SpecContext) {
		version := newCLI().Run(ctx, "", "--version")
		Expect(version).To(gexec.Exit(0))
		Expect(stdout(version)).To(MatchRegexp(`^sallyport \S+ commit \S+ go1\.\S+\n$`))
	}, limit)

	It("completes commands and flags in a shell", func(ctx SpecContext) {
		c := newCLI()
		bash := c.Run(ctx, "", "completion", "bash")
		Expect(bash).To(gexec.Exit(0))
		Expect(stdout(bash)).To(ContainSubstring("sallyport"))
		Expect(stdout(c.Run(ctx, "", "__complete", "co"))).To(ContainSubstring("connect"))
		Expect(stdout(c.Run(ctx, "", "__complete", "serve", "--adm"))).To(ContainSubstring("--admission"))
	}, limit)
})
