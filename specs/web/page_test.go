package web

import (
	"os"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("The report", func() {
	When("it is opened", func() {
		It("shows what failed first, and nothing else open", func(ctx SpecContext) {
			w := visit(ctx, address, 1280, "light")
			Expect(ask[[]string](w, `texts("h1, h2")`)).To(Equal([]string{"Sallyport scenarios", "admission", "chat", "login", "privacy"}))
			Expect(ask[[]string](w, `texts(".tally label")`)).To(Equal([]string{"✗ 1 failed", "✓ 4 passed", "– 1 skipped"}))
			Expect(ask[[]string](w, `texts("dd")`)).To(Equal([]string{"in the process, one for each scenario", "v1.2.3", "sallyport replay stories", "lab"}))
			Expect(ask[[]string](w, `texts("h3")`)).To(Equal([]string{"admission/wrong", "admission/waits tls=1.2", "admission/waits tls=1.3"}))
			Expect(ask[[]string](w, `texts(".scenario[open] h3")`)).To(Equal([]string{"admission/wrong"}))
			Expect(ask[[]string](w, `texts(".counts")`)).To(ContainElements("✗ 1 failed ✓ 2 passed", "– 1 skipped"))
			Expect(ask[[]string](w, `texts(".error")`)).To(ConsistOf(
				And(ContainSubstring("admission/wrong.txtar:5: "), ContainSubstring("\nheard    250 a long argument"))))
		}, limit)

		It("shows the source of what failed right below the error, with the line, and what was not reached", func(ctx SpecContext) {
			w := visit(ctx, address, 1280, "light")
			Expect(ask[string](w, `document.querySelector(".error").nextElementSibling.className`)).To(Equal("source"))
			Expect(ask[[]string](w, `texts(".source p.fault")`)).To(ConsistOf(MatchRegexp(`^5alice hears 251 .* failed here$`)))
			Expect(ask[[]string](w, `texts(".source p.unreached")`)).To(Equal([]string{"6alice quit not reached from here on", "8bob   login &"}))
			Expect(ask[[]string](w, `texts(".steps .unreached")`)).To(Equal([]string{"6alicequitnot reached", "8boblogin in the backgroundnot reached"}))
		}, limit)

		It("filters without a script, and leaves out folders with nothing to show", func(ctx SpecContext) {
			w := visit(ctx, address, 1280, "light")
			click := func(status string) []string {
				return ask[[]string](w, `document.querySelector("#show-`+status+`").click(), texts("h2")`)
			}
			Expect(click("passed")).To(Equal([]string{"admission", "login"}))
			Expect(ask[[]string](w, `texts("h3")`)).To(Equal([]string{"admission/wrong"}))
			Expect(click("skipped")).To(Equal([]string{"admission"}))
			Expect(click("failed")).To(BeEmpty())
			Expect(click("skipped")).To(Equal([]string{"login"}))
			Expect(click("passed")).To(Equal([]string{"admission", "chat", "login", "privacy"}))
		}, limit)

		It("turns the chevron of what is open", func(ctx SpecContext) {
			w := visit(ctx, address, 1280, "light")
			turned := `["details[open] > summary", "details:not([open]) > summary"].map((s) => getComputedStyle(seen(s)[0], "::before").transform)`
			chevrons := ask[[]string](w, turned)
			Expect(chevrons).To(HaveEach(HavePrefix("matrix(")))
			Expect(chevrons[0]).NotTo(Equal(chevrons[1]))
		}, limit)

		It("asks for nothing but itself, and nothing in it runs", func(ctx SpecContext) {
			w := visit(ctx, address, 1280, "light")
			Expect(ask[int](w, `openAll()`)).To(BeZero())
			Expect(w.asked()).To(Equal([]string{address}))
			Expect(w.complaints()).To(BeEmpty())
			Expect(ask[string](w, `document.title`)).To(Equal("Sallyport scenarios"))
			Expect(ask[int](w, `document.querySelectorAll("script, img, iframe, object, foreignObject").length`)).To(BeZero())
			Expect(ask[[]string](w, `texts(".said")`)).To(ContainElement(ContainSubstring("</text></svg><script>")))
		}, limit)

		It("has a window that would notice: the control", func(ctx SpecContext) {
			greedy := write("control.html", func(f *os.File) error {
				_, err := f.WriteString(`<img src="http://127.0.0.1:9/x.png"><script>console.error("here")</script>`)
				return err
			})
			w := visit(ctx, greedy, 1280, "light")
			Expect(w.asked()).To(ContainElement("http://127.0.0.1:9/x.png"))
			Expect(w.complaints()).To(ContainElement("error"))
		}, limit)
	})

	When("all of it is open", func() {
		It("draws each exchange with its text, and beside it what Eve saw", func(ctx SpecContext) {
			w := visit(ctx, address, 1280, "light")
			Expect(ask[int](w, `openAll()`)).To(BeZero())
			first := `seen(".scenario .sequence")[1]`
			Expect(ask[[]string](w, `texts(".participant text", `+first+`)`)).To(HaveExactElements("alice", "alice", "bob", "bob", "server", "server"))
			Expect(ask[[]string](w, `texts(".said", `+first+`)`)).To(ContainElements(
				"logs in as alice", "120 position 1 holder alice", "ECHO only me", "250 only me", "QUIT"))
			arrows := ask[int](w, `seen(".arrow", `+first+`).length`)
			Expect(arrows).To(BeNumerically(">", 10))
			// The bytes of two messages that arrived together are beside the first of them.
			wires := ask[[]string](w, `texts(".wire", `+first+`)`)
			Expect(len(wires)).To(And(BeNumerically("<=", arrows), BeNumerically(">", 10)))
			Expect(wires).To(HaveEach(MatchRegexp(`^1[67] 03 0[13]( [0-9a-f]{2}){13}$`)))
			Expect(ask[[]string](w, `texts(".octets", `+first+`)`)).To(And(
				HaveLen(len(wires)), HaveEach(MatchRegexp(`^first 16 of [\d,]+ bytes$`))))
		}, limit)

		It("draws no text over another, nor out of the frame", func(ctx SpecContext) {
			w := visit(ctx, address, 1280, "light")
			Expect(ask[int](w, `openAll()`)).To(BeZero())
			Expect(ask[[]string](w, `overlaps()`)).To(BeEmpty())
			w.keep("report-light.png")
			Expect(ask[[]string](w, `document.querySelector(".sequence .wire").setAttribute("x", "200"), overlaps()`)).NotTo(BeEmpty(), "the control")
		}, limit)

		It("lists the log and the time of each step", func(ctx SpecContext) {
			w := visit(ctx, address, 1280, "light")
			Expect(ask[[]string](w, `texts(".log tbody th")`)).To(ContainElements("server.start", "login.ok", "session.open", "request", "server.stop"))
			Expect(ask[[]string](w, `texts(".log .chain")`)).To(HaveEach(MatchRegexp(`^[0-9a-f]{64}$`)))
			Expect(ask[[]string](w, `texts(".steps tbody th")`)).To(Equal([]string{"server", "alice", "alice", "alice", "alice", "bob"}))
			Expect(ask[[]string](w, `texts(".steps .number:nth-child(5)", document.querySelector(".steps tbody"))`)).To(And(
				HaveLen(4), HaveEach(MatchRegexp(`^[\d.]+ (ms|s)$`))))
			Expect(ask[[]string](w, `texts(".steps .fault th")`)).To(Equal([]string{"alice"}))
		}, limit)
	})

	DescribeTable("keeps to the width of the window", func(ctx SpecContext, width int64) {
		w := visit(ctx, address, width, "light")
		Expect(ask[int](w, `openAll()`)).To(BeZero())
		Expect(ask[int](w, `tooWide()`)).To(BeNumerically("<=", 0))
		if width < 500 {
			w.keep("report-narrow.png")
			Expect(ask[[]string](w, `cutOff()`)).To(BeEmpty())
			Expect(ask[[]string](w, `texts(".messages .who")`)).To(ContainElements("alice → server", "server → bob"))
			Expect(ask[[]string](w, `seen("code")[0].style = "display:block; overflow:hidden; white-space:nowrap; width:2em", cutOff()`)).NotTo(BeEmpty(), "control")
		}
		Expect(ask[int](w, `document.querySelector("h1").style.width = "200vw", tooWide()`)).To(BeNumerically(">", 0), "the control")
	},
		Entry("at 360 px", limit, int64(360)),
		Entry("at 768 px", limit, int64(768)),
		Entry("at 1280 px", limit, int64(1280)),
	)

	DescribeTable("has the contrast of WCAG AA", func(ctx SpecContext, scheme string, dark bool) {
		w := visit(ctx, address, 1280, scheme)
		Expect(ask[int](w, `openAll()`)).To(BeZero())
		background := ask[float64](w, `luminance(getComputedStyle(document.body).backgroundColor)`)
		Expect(background < 0.05).To(Equal(dark))
		Expect(background > 0.85).To(Equal(!dark))
		type contrast struct {
			Texts int
			Faint []string
		}
		c := ask[contrast](w, `contrast()`)
		Expect(c.Faint).To(BeEmpty())
		Expect(c.Texts).To(BeNumerically(">", 300))
		if dark {
			w.keep("report-dark.png")
		}
		Expect(ask[contrast](w, `document.body.style.setProperty("--dim", "var(--card)"), contrast()`).Faint).NotTo(BeEmpty(), "the control")
	},
		Entry("in the light", limit, "light", false),
		Entry("in the dark", limit, "dark", true),
	)

	It("can be read with the keyboard alone", func(ctx SpecContext) {
		w := visit(ctx, address, 1280, "light")
		focus := func() string {
			Expect(chromedp.Do(w.tab, chromedp.KeyEvent(kb.Tab))).To(Succeed())
			return ask[string](w, `(document.activeElement.getAttribute("aria-label") ?? document.activeElement.tagName)`)
		}
		for _, stop := range []string{
			"INPUT", "INPUT", "INPUT", "SUMMARY", "SUMMARY", "Error", "Source", "Sequence diagram", "Interaction log", "Steps", "SUMMARY",
		} {
			Expect(focus()).To(Equal(stop))
		}
		Expect(ask[int](w, `document.querySelectorAll("details[open]").length`)).To(Equal(2))
		Expect(chromedp.Do(w.tab, chromedp.KeyEvent(kb.Enter))).To(Succeed())
		Expect(ask[int](w, `document.querySelectorAll("details[open]").length`)).To(Equal(3))
	}, limit)

	It("is printed in black on white, with nothing cut off", func(ctx SpecContext) {
		w := visit(ctx, address, 700, "dark") // about the width of A4
		paper := emulation.SetEmulatedMediaParams{Media: "print", Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}
		_, err := chromedp.Call(w.tab, emulation.SetEmulatedMedia, paper)
		Expect(err).NotTo(HaveOccurred())
		Expect(ask[string](w, `getComputedStyle(document.body).backgroundColor`)).To(Equal("rgb(255, 255, 255)"))
		Expect(ask[int](w, `tooWide()`)).To(BeNumerically("<=", 0))
		Expect(ask[bool](w, `seen(".scroll").every((e) => e.scrollWidth <= e.clientWidth)`)).To(BeTrue())
		w.keep("report-print.png")
	}, limit)
})
