package specs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/scenarios/probe"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/specs/harness"
	"github.com/sallyport/sallyport/specs/hostile"
)

// evil are words that a terminal, a browser or a CI could take for something else.
const evil = "<script>alert(1)</script> \"'&]]> \x1b[31m\x07\x00\u202etxt.exe \u0085\u2028\xff"

// evilResults are results whose peer says such words.
func evilResults() (*probe.Summary, []probe.Result) {
	return &probe.Summary{Role: probe.ServerRole, URL: "stdio:", Peer: evil, Offered: []string{evil}, Start: time.Now(), Unused: []string{evil}, Err: errors.New(evil)}, []probe.Result{
		{Name: "a/fail plain", Rule: "must", Section: "RFC 5802 §5.1", About: evil, Verdict: probe.Fail, Words: evil, Reason: evil, Transcript: []probe.Message{{From: "server", Text: evil}}},
		{Name: "a/skip plain", Rule: "must", Verdict: probe.Skip, Reason: evil},
		{Name: "a/known plain", Rule: "must", Verdict: probe.Fail, Known: evil, Words: evil},
		{Name: "a/strict plain", Rule: "should", Verdict: probe.NonStrict, Words: strings.Repeat(evil, 10_000)},
		{Name: "a/pass plain", Rule: "must", Verdict: probe.Pass, Words: evil},
	}
}

// dangerous are the parts of evil that no report for people may have.
func dangerous() OmegaMatcher {
	return SatisfyAny(ContainSubstring("<script>alert"), ContainSubstring("\x1b"), ContainSubstring("\x07"), ContainSubstring("\x00"), ContainSubstring("\u202e"))
}

var _ = Describe("The reports of the prober", Label("area:command", "area:probe"), func() {
	It("are JUnit XML after the schema, whatever the peer says", func(ctx SpecContext) {
		xmllint := harness.Tool("xmllint")
		schema, err := filepath.Abs("../fixtures/junit.xsd")
		Expect(err).NotTo(HaveOccurred())
		valid := func(text string) error {
			cmd := exec.CommandContext(ctx, xmllint, "--nonet", "--noout", "--schema", schema, "-")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), GinkgoWriter, GinkgoWriter
			return cmd.Run()
		}
		var out bytes.Buffer
		summary, all := evilResults()
		Expect(probe.JUnit(&out, summary, all)).To(Succeed())
		Expect(valid(out.String())).To(Succeed())
		Expect(out.String()).To(SatisfyAll(ContainSubstring(`tests="6" failures="1" errors="1"`), ContainSubstring("<skipped ")))
		Expect(valid(strings.Replace(out.String(), "<skipped ", "<failure></failure><skipped ", 1))).NotTo(Succeed(), "the control")
	}, limit)

	It("are a page that shows the words of a peer, and obeys none", func(SpecContext) {
		var out bytes.Buffer
		summary, all := evilResults()
		Expect(probe.HTML(&out, summary, all)).To(Succeed())
		Expect(out.String()).NotTo(dangerous())
		Expect(out.String()).To(ContainSubstring("&lt;script&gt;alert(1)"))
		Expect(evil).To(dangerous(), "the control")
	}, limit)

	c := withCLI()

	It("show the words of a peer on a terminal, and obey none", func(ctx SpecContext) {
		run := c.Run(ctx, "", "probe", "server", "stdio:", "--", "sh", "-c", `read x; printf 'no \033[31m\007\342\200\256evil <script>alert(1)\n'`)
		Expect(run).To(gexec.Exit(4))
		for _, text := range []string{stdout(run), stderr(run)} {
			Expect(strings.ReplaceAll(text, "<script>alert", "")).NotTo(dangerous()) // which a terminal need not fear
		}
		Expect(stdout(run) + stderr(run)).To(ContainSubstring(`evil`))
	}, limit)
})

var _ = Describe("Runs of the prober", Label("area:command", "area:probe"), Ordered, ContinueOnFailure, func() {
	c := withCLI()
	var peer, faulty string
	BeforeAll(func(ctx SpecContext) {
		dir := GinkgoT().TempDir()
		peer, faulty = filepath.Join(dir, "peer"), filepath.Join(dir, "faulty")
		for file, source := range map[string]string{peer: "./hostile/peer", faulty: "./faulty"} {
			out, err := exec.CommandContext(ctx, "go", "build", "-o", file, source).CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), string(out))
		}
	}, NodeTimeout(2*time.Minute))

	network := func(dialect string, fault hostile.Fault) probe.Config {
		return probe.Config{
			Role: probe.ClientRole, Target: probe.Target{Dialect: dialect, Host: "127.0.0.1", Port: "0"}, Level: "must",
			Only:    regexp.MustCompile(`^24-server-final/(zeros|success) plain$`),
			Command: []string{peer, dialect, fault.How, strconv.Itoa(fault.At), "{host}", "{port}", "{ca}", "{user}", "{password-file}"},
		}
	}

	for _, dialect := range slices.Sorted(maps.Keys(hostile.LastOfClient)) {
		It("give up on a client of "+dialect+" with one sentence, whatever it does at which message", func(ctx SpecContext) {
			var all []*ordeal
			for _, fault := range hostile.Faults(hostile.LastOfClient[dialect], dialect != "stdio") {
				o := &ordeal{Fault: fault, offer: -2, config: network(dialect, fault), loose: true}
				if dialect == "stdio" {
					o.config.Target = probe.Target{Dialect: "stdio"}
					o.config.Command = []string{peer, "client", fault.How, strconv.Itoa(fault.At)}
				}
				all = append(all, o)
			}
			Expect(endure(ctx, all)).To(BeEmpty())
		}, limit)
	}

	It("give up on a server over stdio with one sentence, whatever it does at which message", func(ctx SpecContext) {
		var all []*ordeal
		for _, fault := range hostile.Faults(hostile.Scripts["stdio"].Last, false) {
			all = append(all, &ordeal{Fault: fault, offer: -2, loose: true, config: probe.Config{
				Role: probe.ServerRole, Target: probe.Target{Dialect: "stdio"}, Level: "must",
				Command: []string{peer, "server", fault.How, strconv.Itoa(fault.At)},
			}})
		}
		Expect(endure(ctx, all)).To(BeEmpty())
	}, limit)

	It("leave no descriptor, no process and no file behind", func(ctx SpecContext) {
		dir := GinkgoT().TempDir()
		GinkgoT().Setenv("TMPDIR", dir)
		server := hostileServer("smtp", hostile.Fault{}, 0, testserver.Certificate(testserver.ECDSA))
		stdio := probe.Config{
			Role: probe.ServerRole, Target: probe.Target{Dialect: "stdio"}, Level: "must", Only: server.Only, Command: []string{faulty, "server"},
		}
		once := func() {
			GinkgoHelper()
			for _, c := range []probe.Config{server, stdio, network("smtp", hostile.Fault{})} {
				_, err := runProbe(ctx, c)
				Expect(err).NotTo(HaveOccurred())
			}
		}
		once()
		before := open()
		runs, _ := strconv.Atoi(os.Getenv("SALLYPORT_PROBE_RUNS"))
		for range max(runs, 3) {
			once()
		}
		Eventually(ctx, open).Should(BeNumerically("<=", before))
		Eventually(ctx, children).Should(BeEmpty())
		Expect(os.ReadDir(dir)).To(BeEmpty())
	}, SpecTimeout(4*time.Minute))

	When("deviations are known", func() {
		// accept runs the prober with a file of known deviations, against a server that always accepts the nonce.
		accept := func(ctx context.Context, known string) *gexec.Session {
			GinkgoHelper()
			c.Write("known", known)
			return c.Run(ctx, "", "probe", "server", "stdio:", "--run", "^(03-nonce/other|16-proof/empty) plain$", "--accept", "known", "--",
				"env", "FAULT=nonce", faulty, "server")
		}

		DescribeTable("judges the others alone, when the file", func(ctx SpecContext, known string, code int, out, errors string) {
			run := accept(ctx, known)
			Expect(run).To(gexec.Exit(code))
			Expect(stdout(run)).To(MatchRegexp(out))
			Expect(stderr(run)).To(MatchRegexp(errors))
		},
			Entry("is empty", limit, "# nothing\n\n", 1, `FAIL +03-nonce/other plain`, `^$`),
			Entry("names the case", limit, "03-nonce/other plain: we know\n", 0, `fail +03-nonce/other plain: known: we know`, `^$`),
			Entry("names what deviates no longer", limit, "03-nonce/other: we know\n16-proof/empty: once\n", 0, `deviates no longer: 16-proof/empty`, `^$`),
			Entry("names no case at all", limit, "03-nonce/other: we know\n99-none/none: why\n", 2, `^$`, `99-none/none`),
			Entry("has a line without a reason", limit, "\n03-nonce/other:\n", 2, `^$`, `known: line 2: "03-nonce/other:" is not of the form NAME: REASON`),
		)

		It("says that there is no such file", func(ctx SpecContext) {
			Expect(c.Run(ctx, "", "probe", "server", "stdio:", "--accept", "nowhere", "--", "true")).To(failed(2, "nowhere: no such file"))
		}, limit)
	})

	It("have the rule, the altered part of what was sent, what was expected and what came", func(ctx SpecContext) {
		p, all := runOf(ctx, probe.Config{
			Role: probe.ServerRole, Target: probe.Target{Dialect: "stdio"}, Level: "must", Only: regexp.MustCompile("^03-nonce/extended "),
			Command: []string{"env", "FAULT=nonce", faulty, "server"},
		})
		var page, text bytes.Buffer
		Expect(probe.HTML(&page, &p.Summary, all)).To(Succeed())
		for _, pattern := range []string{
			`Peer: <code>env FAULT=nonce `, `By rule: of 6 logins that test a MUST, 2 deviate\.`, `<h2>fail: RFC 5802 §5.1 \(1 case, 2 logins\)</h2>`,
			`Fault in client-final: the nonce with one character more`, `Rule:</b> The nonce of client-final is exactly .*\(RFC 5802 §5.1, a MUST\)`,
			`Expected:</b> the server refuses client-final</p>`, `Came:</b> accepted`, `The exchange is that of plain`,
			`<code>c=biws,r=[^<]+<mark>x</mark>,p=`, `--run &#39;\^03-nonce/extended &#39;`,
		} {
			Expect(page.String()).To(MatchRegexp(pattern))
		}
		Expect(probe.JSON(&text, &p.Summary, all)).To(Succeed())
		Expect(text.String()).To(MatchRegexp(`"demand": "The nonce.*\n.*"about": "the nonce with one character more",\n.*"expected": "the server refuses client-final"`))
		Expect(text.String()).To(MatchRegexp(`"altered": true,\n *"own": "c=`))
	}, limit)

	DescribeTable("are alike but for nonces and times", func(ctx SpecContext, config func() probe.Config) {
		var reports []string
		for range 2 {
			c := config()
			c.Level, c.Only = "all", regexp.MustCompile(`^(03|16|22|24)|^checks/(replay|binding)`)
			p, all := runOf(ctx, c)
			Expect(len(all)).To(BeNumerically(">", 5))
			var out bytes.Buffer
			Expect(probe.JSON(&out, &p.Summary, all)).To(Succeed())
			reports = append(reports, out.String())
		}
		Expect(cmp.Diff(steadyReport(reports[0]), steadyReport(reports[1]))).To(BeEmpty())
		Expect(reports[0]).NotTo(Equal(reports[1]), "the control")
	},
		Entry("with our server", limit, func() probe.Config {
			h := start(nil)
			host, port, err := net.SplitHostPort(h.Addr)
			Expect(err).NotTo(HaveOccurred())
			return probe.Config{
				Role: probe.ServerRole, Target: probe.Target{Dialect: "sallyport", Host: host, Port: port}, Account: hostileAlice, Roots: h.Roots,
			}
		}),
		Entry("with a server over stdio", limit, func() probe.Config {
			return probe.Config{Role: probe.ServerRole, Target: probe.Target{Dialect: "stdio"}, Command: []string{faulty, "server"}}
		}),
		Entry("with a client over stdio", limit, func() probe.Config {
			return probe.Config{Role: probe.ClientRole, Target: probe.Target{Dialect: "stdio"}, Command: []string{faulty, "client"}}
		}),
	)
})

// unsteady finds the parts of a report of sallyport probe that differ from run to run: times, ports, nonces, salts and
// what is computed from them.
var unsteady = []struct {
	form *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`"(seconds|took)": [-0-9.e]+`), `"$1": 0`},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), `127.0.0.1:0`},
	{regexp.MustCompile(`"(text|own)": "(?:[^"\\]|\\.)*"`), `"$1": ""`},
	{regexp.MustCompile(`\[[0-9a-f]{8,}\]|\b[0-9a-f]{16,}\b`), `ID`},
}

// steadyReport returns the JSON report of a run of sallyport probe without what differs from run to run.
func steadyReport(report string) string {
	for _, r := range unsteady {
		report = r.form.ReplaceAllString(report, r.by)
	}
	return report
}

// open returns the number of open descriptors of this process.
func open() int {
	files, _ := os.ReadDir("/proc/self/fd")
	return len(files)
}

// children returns the processes that this process has started.
func children() (all string) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		all += string(text)
	}
	return all
}
