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
			Entry("names the case without its login", limit, "03-nonce/other: we know\n", 0, `known: we know`, `^$`),
			Entry("names the rule and the section", limit, "must RFC 5802 §5.1: we know\n", 0, `known: we know`, `^$`),
			Entry("names what deviates no longer", limit, "03-nonce/other: we know\n16-proof/empty: once\n", 0, `deviates no longer: 16-proof/empty`, `^$`),
			Entry("names no case at all", limit, "03-nonce/other: we know\n99-none/none: why\n", 2, `^$`, `99-none/none`),
			Entry("has a line without a reason", limit, "\n03-nonce/other:\n", 2, `^$`, `known: line 2: "03-nonce/other:" is not of the form NAME: REASON`),
			Entry("has a line without a colon", limit, "03-nonce/other\n", 2, `^$`, `known: line 1: .* is not of the form NAME: REASON`),
			Entry("has a line without an end", limit, strings.Repeat("x", 1<<17), 2, `^$`, `known: .*too long`),
		)

		It("says that there is no such file", func(ctx SpecContext) {
			Expect(c.Run(ctx, "", "probe", "server", "stdio:", "--accept", "nowhere", "--", "true")).To(failed(2, "nowhere: no such file"))
		}, limit)
	})

	DescribeTable("are alike but for nonces and times", func(ctx SpecContext, config func() probe.Config) {
		var reports []string
		for range 2 {
			c := config()
			c.Level, c.Only = "all", regexp.MustCompile(`^(03|16|22|24)|^checks/(replay|binding)`)
			reports = append(reports, reportOf(ctx, c))
		}
		Expect(cmp.Diff(harness.SteadyReport(reports[0]), harness.SteadyReport(reports[1]))).To(BeEmpty())
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

// reportOf returns the JSON report of a run.
func reportOf(ctx context.Context, c probe.Config) string {
	GinkgoHelper()
	p, err := probe.New(c)
	Expect(err).NotTo(HaveOccurred())
	var all []probe.Result
	for r, err := range p.Run(ctx) {
		Expect(err).NotTo(HaveOccurred())
		all = append(all, r)
	}
	Expect(len(all)).To(BeNumerically(">", 5))
	var out bytes.Buffer
	Expect(probe.JSON(&out, &p.Summary, all)).To(Succeed())
	return out.String()
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
