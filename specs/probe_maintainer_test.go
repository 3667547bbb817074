package specs

import (
	"bytes"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/scenarios/probe"
)

var _ = Describe("The report of the prober", Label("area:probe", "area:report"), Ordered, func() {
	var faulty string
	BeforeAll(func(ctx SpecContext) { faulty = buildFaulty(ctx) }, NodeTimeout(2*time.Minute))

	// probed probes a server with a fault. Accepted are the lines of the file of known deviations.
	probed := func(ctx SpecContext, fault, cases string, accepted ...string) (*probe.Prober, []probe.Result) {
		GinkgoHelper()
		known, err := probe.ReadAccepted(strings.NewReader(strings.Join(accepted, "\n")))
		Expect(err).NotTo(HaveOccurred())
		p, err := probe.New(probe.Config{
			Role: probe.ServerRole, Target: probe.Target{Dialect: "stdio"}, Level: "must", Timeout: 5 * time.Second,
			Only: regexp.MustCompile(cases), Command: []string{"env", "FAULT=" + fault, faulty, "server"}, Accepted: known,
		})
		Expect(err).NotTo(HaveOccurred())
		var all []probe.Result
		for r, err := range p.Run(ctx) {
			Expect(err).NotTo(HaveOccurred())
			all = append(all, r)
		}
		return p, all[4:] // after the logins without a fault
	}

	It("folds the logins of a case that have the same verdict", func(ctx SpecContext) {
		var folded []string
		_, all := probed(ctx, "half-proof", `^16-proof/(empty|flipped (plus|plain) (\d|1[5-8])$)`)
		for _, f := range probe.Fold(all) {
			folded = append(folded, string(f.Verdict)+" "+f.Names()+" "+f.Mechanism)
		}
		Expect(folded).To(Equal([]string{
			"pass 16-proof/flipped plus 0..9, plus 15, plain 0..9, plain 15 SCRAM-SHA-256",
			"fail 16-proof/flipped plus 16..18, plain 16..18 SCRAM-SHA-256",
			"pass 16-proof/empty plus, plain SCRAM-SHA-256",
		}))
	}, limit)

	It("has the rule, the altered part of what was sent, what was expected and what came", func(ctx SpecContext) {
		p, all := probed(ctx, "nonce", "^03-nonce/extended ")
		var page, text bytes.Buffer
		Expect(probe.HTML(&page, &p.Summary, all)).To(Succeed())
		Expect(page.String()).To(ContainSubstring(`<h2>fail: RFC 5802 §5.1 (1 case, 2 logins)</h2>`))
		Expect(page.String()).To(MatchRegexp(`Rule:</b> The nonce of client-final is exactly .*\(RFC 5802 §5.1, a MUST\)`))
		Expect(page.String()).To(MatchRegexp(`The exchange is that of plain(.|\n)*<code>c=biws,r=[^<]+<mark>x</mark>,p=`))
		Expect(page.String()).To(MatchRegexp(`Expected:</b> the server refuses client-final(.|\n)*Came:</b> accepted`))
		Expect(page.String()).To(ContainSubstring(`--run &#39;^03-nonce/extended &#39;`))
		Expect(page.String()).To(ContainSubstring(`By rule: of 2 logins that test a MUST, 2 deviate.`))
		Expect(probe.Levels(append(all, probe.Result{Rule: "policy", Verdict: probe.Pass}, probe.Result{Rule: "limit", Verdict: probe.Skip}))).
			To(Equal([]probe.Level{{Rule: "must", Tested: 2, Deviated: 2}, {Rule: "policy", Tested: 1}}))
		Expect(probe.JSON(&text, &p.Summary, all)).To(Succeed())
		Expect(text.String()).To(MatchRegexp(`"demand": "The nonce.*\n.*"about": "the nonce with one character more",\n.*"expected": "the server refuses client-final"`))
		Expect(text.String()).To(MatchRegexp(`"altered": true,\n *"own": "c=`))
	}, limit)

	DescribeTable("takes a deviation as known", func(ctx SpecContext, line string, known int) {
		p, all := probed(ctx, "half-proof", `^16-proof/(zeros|flipped) (plus|plain)( (15|16|17))?$`, line+": a reason")
		Expect(p.Summary.Unused).To(BeEmpty())
		found := 0
		for _, r := range all {
			if r.Known != "" {
				found++
				Expect(r.Known).To(Equal("a reason"))
				Expect(r.Failed()).To(BeFalse())
			}
		}
		Expect(found).To(Equal(known))
	},
		Entry("by the name of its case", limit, "16-proof/flipped", 4),
		Entry("by the name with a login", limit, "16-proof/flipped plain", 2),
		Entry("by the full name", limit, "16-proof/flipped plain 16", 1),
		Entry("by the name as it is printed", limit, "16-proof/flipped plus 16..17, plain 16 (SCRAM-SHA-256-PLUS, SCRAM-SHA-256)", 3),
		Entry("by its rule and section", limit, "must RFC 5802 §3", 4),
	)

	It("names a known deviation that is none any more, but not one that was not tested", func(ctx SpecContext) {
		p, _ := probed(ctx, "", "^03-nonce/other ", "03-nonce/other plain: mended", "03-nonce/extended: not played", "grammar RFC 5802 §7: not played")
		Expect(p.Summary.Unused).To(Equal([]string{"03-nonce/other plain"}))
	}, limit)

	DescribeTable("refuses a known deviation that no case has", func(_ SpecContext, line string) {
		known, err := probe.ReadAccepted(strings.NewReader(line + ": a reason"))
		Expect(err).NotTo(HaveOccurred())
		_, err = probe.New(probe.Config{Role: probe.ClientRole, Target: probe.Target{Dialect: "stdio"}, Command: []string{"true"}, Accepted: known})
		Expect(err).To(MatchError(probe.ErrUsage))
		Expect(err).To(MatchError(ContainSubstring(line)))
	},
		Entry("by name", limit, "03-nonce/otter"),
		Entry("by login", limit, "03-nonce/other minus"),
		Entry("by section", limit, "must RFC 5802 §55"),
	)
})
