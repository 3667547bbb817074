package specs

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/server"
)

var _ = Describe("Bad input", Label("area:protocol"), func() {
	DescribeTable("is answered as documented after the login",
		func(ctx SpecContext, sent string, want ...string) {
			h := start(func(s *server.Server) { s.Limits.Body = 1000 })
			w := h.Wire(ctx, true).Seated("alice")
			w.Send(sent)
			for _, line := range want {
				Expect(w.Line()).To(HavePrefix(line))
			}
			Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
		},
		Entry("a bare LF", "NOOP\n", "500 syntax ", "EOF", limit),
		Entry("a bare CR", "NO\rOP\r\n", "500 syntax ", "EOF", limit),
		Entry("a NUL", "\x00\r\n", "500 syntax ", "EOF", limit),
		Entry("invalid UTF-8", "ECHO \xff\r\n", "500 syntax ", "EOF", limit),
		Entry("a long line", strings.Repeat("x", 9000), "500 line-too-long ", "EOF", limit),
		Entry("an unknown verb", "FROB\r\nQUIT\r\n", "500 unknown-command ", "221 ", "EOF", limit),
		Entry("an empty line", "\r\nQUIT\r\n", "500 unknown-command ", "221 ", "EOF", limit),
		Entry("an unknown verb with a body", "BODY 4 FROB\r\nQUITQUIT\r\n", "500 unknown-command ", "221 ", "EOF", limit),
		Entry("a malformed BODY", "BODY 04 ECHO\r\nQUIT\r\n", "501 argument ", "EOF", limit),
		Entry("a BODY over the limit", "BODY 1001 ECHO\r\n", "552 too-large ", "EOF", limit),
		Entry("a BODY of a size that no number holds", "BODY 99999999999999999999 ECHO\r\n", "552 too-large ", "EOF", limit),
		Entry("SAY where nobody listens", "SAY hello\r\nQUIT\r\n", "550 refused ", "221 ", limit),
		Entry("OPEN where there is no backend", "OPEN\r\nQUIT\r\n", "500 unknown-command ", "221 ", limit),
	)

	DescribeTable("is answered as documented before the login",
		func(ctx SpecContext, sent string, want ...string) {
			h := start(nil)
			w := h.Wire(ctx, false).Greeted()
			w.Send(sent)
			for _, line := range want {
				Expect(w.Line()).To(HavePrefix(line))
			}
		},
		Entry("a request", Label("battery:17"), "ECHO x\r\nNOOP\r\n", "530 login-required ", "250 ", limit),
		Entry("a BODY", "BODY 3 ECHO\r\nabc", "530 login-required ", "EOF", limit),
		Entry("three errors", "A\r\nB\r\nC\r\nNOOP\r\n", "530 ", "530 ", "530 ", "421 too-many-errors ", "EOF", limit),
		Entry("an unknown mechanism", "AUTH PLAIN AGFsaWNlAHg=\r\nNOOP\r\n", "504 mechanism ", "250 ", limit),
		Entry("AUTH alone", Label("battery:18"), "AUTH\r\nNOOP\r\n", "501 argument ", "250 ", limit),
		Entry("a bad initial response", Label("battery:15", "battery:18"), "AUTH SCRAM-SHA-256 a===\r\nNOOP\r\n", "501 base64 ", "250 ", limit),
		Entry("a bad response", Label("battery:15"), "AUTH SCRAM-SHA-256\r\na===\r\n", "334 ", "501 base64 ", "EOF", limit),
		Entry("a cancelled login", Label("battery:17"), "AUTH SCRAM-SHA-256\r\n*\r\n", "334 ", "501 cancelled ", "EOF", limit),
		Entry("an empty initial response", Label("battery:18"), "AUTH SCRAM-SHA-256 =\r\n", "535 login-failed ", "EOF", limit),
		Entry("EHLO without a name", "EHLO\r\nNOOP\r\n", "501 argument ", "250 ", limit),
		Entry("the flag y where PLUS is offered", Label("battery:6"), "AUTH SCRAM-SHA-256 eSwsbj1hbGljZSxyPW5vbmNl\r\n", "535 login-failed ", "EOF", limit),
	)
})
