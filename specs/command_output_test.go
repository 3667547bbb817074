//go:build cgo && unix

package specs

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// The command notices this only with cgo, as these specs do.
var _ = Describe("The command without a standard output", Label("area:command", "command:output"), func() {
	c := withCLI()
	s := c.withServer()

	DescribeTable("fails", func(ctx SpecContext, line string) {
		run := c.Shell(ctx, "WHOAMI\n", s.shellLine(line)+" >&-")
		Expect(run).To(did(1, "", MatchRegexp(`^sallyport[a-z ]*: standard output is closed\n$`)))
	},
		Entry("for a request", "CONNECT WHOAMI", limit),
		Entry("for requests from a pipe", "CONNECT", limit),
		Entry("for a list", "SALLYPORT user list --state state", limit),
	)
})
