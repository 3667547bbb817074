package specs

import (
	"crypto/tls"
	"strings"
	"unicode"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/specs/harness"
)

// forgery would end a record and begin another if it were not escaped.
const forgery = `","chain":"` + "0000000000000000000000000000000000000000000000000000000000000000" + `"}`

var _ = Describe("Injection into the interaction log", Label("area:log", "promise:5"), func() {
	var h *harness.H
	BeforeEach(func() {
		h = start(func(s *server.Server) { s.LogPayload, s.LogNames = true, true })
	})

	// intact checks that the log is sound, and that log show prints a line for each event and no harmful character.
	intact := func() {
		GinkgoHelper()
		log, shown := h.Log.String(), strings.Builder{} // the log may grow meanwhile
		Expect(show.Records(&shown, show.Options{}, audit.File{Name: "log", Reader: strings.NewReader(log)})).To(Succeed())
		Expect(harness.CheckLog(log, harness.Payload{Sent: true, Names: true})).To(Succeed())
		Expect(strings.Count(shown.String(), "\n")).To(Equal(strings.Count(log, "\n")), "a line for each event")
		Expect(harmful(shown.String())).To(BeEmpty())
	}

	DescribeTable("through an argument stays in one line, as it was sent, and shows harmlessly",
		func(ctx SpecContext, argument string) {
			w := h.Connect(ctx).Seated("alice")
			Expect(w.Ask("ECHO " + argument)).To(Equal("250 " + argument))
			Expect(h.Log.Records("request")).To(HaveLen(1))
			Expect(h.Log.Records("request")[0].Str("argument")).To(Equal(argument))
			intact()
		},
		Entry("of quotes and JSON", `x","event":"login.ok","user":"mallory`, limit),
		Entry("of a line's end and another line", `x`+forgery+`\n{"event":"server.stop"}`, limit),
		Entry("of backslashes", `\","x":"\\`, limit),
		Entry("of escapes that a program might decode", `\u001b[2J \x1b[2J %1b[2J &#27;[2J ^[[2J`, limit),
		Entry("of a tab and spaces", "a\tb  = c=d  ", limit),
		Entry("of separators of lines and paragraphs", "one\u2028two\u2029three", limit),
		Entry("of bidi overrides and isolates", "gnp.\u202eexe\u202c \u2066x\u2069 \u200f\u061c", limit),
		Entry("of invisible characters", "a\u200bb\u00adc\ufeffd\u2060e\U000e0041f\u180eg\u3164h", limit),
		Entry("of noncharacters", "\ufffd \ufffe \U0010ffff \ue000", limit),
		Entry("of combining marks", "a"+strings.Repeat("\u0301", 50), limit),
	)

	It("would be harmful without escapes", Label("control"), func(SpecContext) {
		for _, raw := range []string{"\x1b[2J", "\u009b2J", "\u202e", "\u2066", "\u2028", "\u200b", "\x00", "\r", "\U000e0041"} {
			Expect(harmful("user=" + raw + "\n")).NotTo(BeEmpty())
		}
		Expect(harmful("user=\"Zoë 世界\" n=1\n")).To(BeEmpty())
	}, limit)

	It("through a body or a stream is base64", func(ctx SpecContext) {
		w := h.Connect(ctx).Seated("alice")
		w.Send("BODY 9 ECHO\r\n\x1b[2J\r\n\x00\xff\n")
		Expect(w.Line()).To(Equal("251 9"))
		Expect(h.Log.Records("request")[0].Str("body")).To(Equal("G1sySg0KAP8K"))
		intact()
	}, limit)

	DescribeTable("through the name of a user that does not exist stays in one line and shows harmlessly",
		func(ctx SpecContext, name, logged, reason string) {
			w := h.Connect(ctx).Greeted()
			escaped := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(name)
			answer := w.Ask(auth(scram.SHA256, "n,,n="+escaped+",r=nonce"))
			if strings.HasPrefix(answer, "334 ") {
				answer = w.Ask(w.WrongProof(answer))
			}
			Expect(answer).To(HavePrefix("535 login-failed "))
			Expect(h.Log.Records("login.fail")).To(HaveLen(1))
			Expect(h.Log.Records("login.fail")[0].Str("user")).To(Equal(logged))
			Expect(h.Log.Records("login.fail")[0].Str("reason")).To(Equal(reason))
			intact()
		},
		Entry("of quotes and JSON", `x","event":"login.ok`+forgery, `x","event":"login.ok`+forgery, "unknown-user", limit),
		Entry("of words and equals signs", "alice reason=none", "alice reason=none", "unknown-user", limit),
		Entry("of characters that SASLprep removes", "a\u00adlice\u200b", "alice", "wrong-proof", limit),
		Entry("of a line's end", "x\n{}", "", "malformed", limit),
		Entry("of an escape", "x\x1b[2J", "", "malformed", limit),
		Entry("of a bidi override", "x\u202e", "", "malformed", limit),
		Entry("of a line separator", "x\u2028", "", "malformed", limit),
		Entry("of a NUL", "x\x00", "", "malformed", limit),
		Entry("of no UTF-8", "x\xff", "", "malformed", limit),
	)

	It("through a TLS handshake stays in one line and shows harmlessly", func(ctx SpecContext) {
		evil := "x\"\n\x1b[2J\u202e"
		conn := tls.Client(dial(ctx, h), &tls.Config{RootCAs: h.Roots, ServerName: "localhost", NextProtos: []string{evil}})
		Expect(conn.HandshakeContext(ctx)).NotTo(Succeed())
		Eventually(ctx, func() []string { return h.Log.Events("") }).Should(ContainElement("conn.close"))
		Expect(h.Log.Records("tls.fail")).To(HaveLen(1))
		Expect(h.Log.Records("tls.fail")[0].Str("error")).To(ContainSubstring("unsupported application protocols"))
		intact()
	}, limit)
})

// harmful returns the characters that a terminal would obey, hide, or take for a line end.
func harmful(shown string) (all []rune) {
	for _, r := range shown {
		if r != '\n' && !unicode.IsPrint(r) || unicode.In(r, unicode.Bidi_Control, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
			all = append(all, r)
		}
	}
	return all
}
