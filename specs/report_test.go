package specs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("The reports of replay", Label("area:command", "area:scenarios"), func() {
	var c *cli
	BeforeEach(func(ctx SpecContext) {
		c = newCLI()
		c.Scenario("a", goodScenario)
		c.Scenario("b", "# Wrong.\nmatrix tls=1.2,1.3\nalice login\nalice ask ECHO '<&> \t'\nalice hears 250 \x01 # <no>\n")
		c.Scenario("c", "# Skipped.\nskip '<no> reason'\n")
		run := c.Run(ctx, "", "replay", "--json", "report.json", "--junit", "report.xml", "--html", "report.html", "mine")
		Expect(run).To(gexec.Exit(1))
		Expect(stderr(run)).To(BeEmpty())
	}, limitOfNode)

	// The fields that scripts rely on.
	It("are JSON with all that happened", func(ctx SpecContext) {
		var report struct {
			Schema, Target, Version string
			Command, Host           string
			Passed, Failed, Skipped int
			Results                 []struct {
				Name, File, Title, Status, Reason, Error, Start string
				Labels                                          []string
				Combination                                     map[string]string
				Seconds                                         float64
				Steps                                           []struct {
					Line      int
					Who, Text string
					Seconds   float64
				}
				Exchanges []struct {
					From, To, Text, Wire string
					Octets               int
				}
				Log []struct{ Event string }
			}
		}
		in := json.NewDecoder(strings.NewReader(c.Read("report.json")))
		Expect(in.Decode(&report)).To(Succeed())
		Expect([]any{report.Schema, report.Passed, report.Failed, report.Skipped}).To(Equal([]any{"sallyport-replay/1", 1, 2, 1}))
		Expect([]string{report.Target, report.Command}).To(Equal([]string{"", "sallyport replay --html report.html --json report.json --junit report.xml mine"}))
		Expect(report.Version).To(MatchRegexp(`^\S+ commit \S+ go1\.`))
		host, err := os.Hostname()
		Expect(err).NotTo(HaveOccurred())
		Expect(report.Host).To(Equal(host))
		Expect(report.Results).To(HaveLen(4))
		good, bad, skipped := report.Results[0], report.Results[2], report.Results[3]
		Expect([]string{good.Name, good.File, good.Title, good.Status}).To(Equal([]string{"a", "mine/a.txtar", "Good.", "passed"}))
		Expect(good.Labels).To(ConsistOf("promise:1"))
		Expect(good.Seconds).To(BeNumerically(">", 0))
		Expect(good.Steps[1].Line).To(Equal(3))
		Expect(good.Steps[1].Who + " " + good.Steps[1].Text).To(Equal("alice ask ECHO hello"))
		Expect(good.Exchanges).To(ContainElement(HaveField("Text", "ECHO hello")))
		Expect(good.Log).To(ContainElement(HaveField("Event", "session.open")))
		Expect(bad.Combination).To(Equal(map[string]string{"tls": "1.3"}))
		Expect(bad.Error).To(HavePrefix("mine/b.txtar:5: alice hears"))
		Expect([]string{skipped.Status, skipped.Reason}).To(Equal([]string{"skipped", "<no> reason"}))
	}, limit)

	It("are JUnit XML after the schema", func(ctx SpecContext) {
		xmllint := harness.Tool("xmllint")
		valid := func(text string) error {
			schema, err := filepath.Abs("../fixtures/junit.xsd")
			Expect(err).NotTo(HaveOccurred())
			cmd := exec.CommandContext(ctx, xmllint, "--nonet", "--noout", "--schema", schema, c.Write("checked.xml", text))
			cmd.Stdout, cmd.Stderr = GinkgoWriter, GinkgoWriter
			return cmd.Run()
		}
		report := c.Read("report.xml")
		Expect(valid(report)).To(Succeed())
		Expect(report).To(SatisfyAll(
			ContainSubstring(`<testsuite name="." `), ContainSubstring(`tests="4" failures="2" errors="0"`),
			ContainSubstring(`<testcase name="b [tls=1.3]"`), ContainSubstring(`<skipped message="&lt;no&gt; reason">`),
			ContainSubstring(`<failure message="mine/b.txtar:5: `)))
		// The control: the same check refuses invalid JUnit XML.
		for _, change := range [][2]string{
			{"<skipped ", "<failure></failure><skipped "},
			{` tests="4"`, ` tests="some"`},
			{` classname="."`, ""},
			{"<system-out>", "<out></out><system-out>"},
		} {
			Expect(report).To(ContainSubstring(change[0]))
			Expect(valid(strings.Replace(report, change[0], change[1], 1))).NotTo(Succeed(), change[1])
		}
	}, limit)

	It("are a page for people", func(SpecContext) {
		Expect(c.Read("report.html")).To(SatisfyAll(HavePrefix("<!"), ContainSubstring("mine/b.txtar:5: ")))
	}, limit)

	It("are refused before anything runs if they can't be written", func(ctx SpecContext) {
		run := c.Run(ctx, "", "replay", "--json", "nowhere/report.json", "mine")
		Expect(run).To(failed(1, "nowhere/report.json: no such file or directory"))
	}, limit)
})
