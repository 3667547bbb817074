package specs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/scenarios/probe"
)

// runProbe plays all cases of a configuration, and returns the results and the error that ended it.
func runProbe(ctx context.Context, c probe.Config) ([]probe.Result, error) {
	GinkgoHelper()
	p, err := probe.New(c)
	Expect(err).NotTo(HaveOccurred())
	return playAll(ctx, p)
}

// runOf plays all cases of a configuration to their end.
func runOf(ctx context.Context, c probe.Config) (*probe.Prober, []probe.Result) {
	GinkgoHelper()
	p, err := probe.New(c)
	Expect(err).NotTo(HaveOccurred())
	all, err := playAll(ctx, p)
	Expect(err).NotTo(HaveOccurred())
	return p, all
}

func playAll(ctx context.Context, p *probe.Prober) (all []probe.Result, err error) {
	for r, err := range p.Run(ctx) {
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

// buildFaulty returns the path of the program faulty.
func buildFaulty(ctx context.Context) string {
	GinkgoHelper()
	faulty := filepath.Join(GinkgoT().TempDir(), "faulty")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", faulty, "./faulty").CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	return faulty
}

// namesOf returns the cases with a verdict, without their logins.
func namesOf(all []probe.Result, verdict probe.Verdict) (names []string) {
	for _, r := range all {
		if name, _, _ := strings.Cut(r.Name, " "); r.Verdict == verdict && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

var _ = Describe("The prober", Label("area:probe", "rfc:5802"), Ordered, func() {
	var faulty string
	BeforeAll(func(ctx SpecContext) { faulty = buildFaulty(ctx) }, NodeTimeout(2*time.Minute))

	// judge probes the faulty peer in one role. Cases is a regexp of names, or "" for all.
	judge := func(ctx SpecContext, role probe.Role, fault, level, cases string) ([]probe.Result, error) {
		GinkgoHelper()
		return runProbe(ctx, probe.Config{
			Role: role, Target: probe.Target{Dialect: "stdio"}, Level: level, Timeout: 5 * time.Second,
			Only: regexp.MustCompile(cases), Command: []string{"env", "FAULT=" + fault, faulty, string(role)},
		})
	}

	for _, role := range []probe.Role{probe.ServerRole, probe.ClientRole} {
		It("finds nothing wrong with a right "+string(role), Label("control"), func(ctx SpecContext) {
			all, err := judge(ctx, role, "", "must", "")
			Expect(err).NotTo(HaveOccurred())
			Expect(namesOf(all, probe.Fail)).To(BeEmpty())
			Expect(len(namesOf(all, probe.Pass))).To(BeNumerically(">", 20))
		}, SpecTimeout(4*time.Minute))
	}

	DescribeTable("finds the fault of a server, by the cases that name it and no others", func(ctx SpecContext, fault, cases, found string) {
		all, err := judge(ctx, probe.ServerRole, fault, "must", cases)
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Join(namesOf(all, probe.Fail), " ")).To(MatchRegexp("^(" + found + " ?)+$"))
	},
		Entry("that does not compare the nonce", limit, "nonce", "^(03|09|16-proof/[^f])", `03-nonce/\S+`),
		Entry("that does not compare c=", limit, "binding", "^(03|09|15|16-proof/[^f])", `(09-channel-binding|15-base64)/\S+`),
		Entry("that takes the flag y for the truth", limit, "downgrade", "^(06|12|16-proof/[^f])", `06-downgrade/y-\S+`),
		Entry("that knows any type of binding", limit, "type", "^(06|07|12)", `07-binding-type/\S+`),
		Entry("that ignores a foreign authzid", limit, "authzid", "^(10|12)", `12-authzid/other`),
		Entry("that decodes any escape", limit, "escapes", "^(10|13)", `13-escapes/\S+`),
		Entry("that ignores a mandatory extension", limit, "extension", "^(10|11)", `10-attributes/(final|first)-m\S*`),
		Entry("that does not prepare names", limit, "saslprep", "^(13|14)", `14-characters/\S+`),
		Entry("that takes an empty proof", limit, "empty-proof", "^(16-proof/[^f]|10)", `(16-proof/empty|10-attributes/final-no-proof)`),
		Entry("that compares half of the proof", limit, "half-proof", "^(16|10)", `16-proof/flipped`),
	)

	DescribeTable("finds the fault of a client, by the cases that name it and no others", func(ctx SpecContext, fault, found string) {
		all, err := judge(ctx, probe.ClientRole, fault, "must", "")
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Join(namesOf(all, probe.Fail), " ")).To(MatchRegexp("^(" + found + " ?)+$"))
	},
		Entry("that does not compare the nonce", limit, "nonce", `23-server-nonce-and-salt/\S+`),
		Entry("that believes a success before the challenge", limit, "early", `25-server-first/success`),
		Entry("that believes a success without a signature", limit, "bare", `24-server-final/(nothing|success)`),
		Entry("that believes a success with an error", limit, "error", `24-server-final/e-\S+`),
		Entry("that compares the beginning of the signature", limit, "prefix", `24-server-final/(flipped|long|short|m-behind)`),
		Entry("that ignores a mandatory extension", limit, "mandatory", `2[45]-server-\S+/m-\S+`),
	)

	It("notes a client that proves with one iteration", func(ctx SpecContext) {
		all, err := judge(ctx, probe.ClientRole, "iterations", "all", "^22")
		Expect(err).NotTo(HaveOccurred())
		Expect(namesOf(all, probe.Info)).To(ContainElements("22-iterations/one", "22-iterations/4095"))
		Expect(namesOf(all, probe.NonStrict)).To(ContainElement("22-iterations/zero"))
		Expect(namesOf(all, probe.Fail)).To(BeEmpty())
	}, limit)

	DescribeTable("judges nothing where the login without a fault fails: a server that", func(ctx SpecContext, fault, why string) {
		all, err := judge(ctx, probe.ServerRole, fault, "must", "^03")
		Expect(err).To(MatchError(probe.ErrControl))
		Expect(err).To(MatchError(ContainSubstring(why)))
		Expect(namesOf(all, probe.Pass)).To(BeEmpty())
	},
		Entry("has another signature", limit, "signature", "the server signature is wrong"),
		Entry("accepts before the proof", limit, "early", "accepted before the proof"),
		Entry("dies", limit, "dies", "it ended the connection without a word"),
		Entry("never ends a line", limit, "long", "sent more than a login needs"),
	)

	// judgeSome probes a right server that refuses every login with a mechanism that the pattern of a shell matches.
	judgeSome := func(ctx SpecContext, refused string) ([]probe.Result, error) {
		GinkgoHelper()
		script := `case $SALLYPORT_MECHANISM in ` + refused + `) read line; echo no; exit;; esac; exec "$0" server`
		return runProbe(ctx, probe.Config{
			Role: probe.ServerRole, Target: probe.Target{Dialect: "stdio"}, Level: "must", Timeout: 5 * time.Second,
			Only: regexp.MustCompile("^03-nonce/(other|empty) "), Command: []string{"sh", "-c", script, faulty},
		})
	}

	It("judges no mechanism whose login without a fault fails", func(ctx SpecContext) {
		all, err := judgeSome(ctx, "*-PLUS")
		Expect(err).NotTo(HaveOccurred())
		for _, r := range all[4:] {
			want := probe.Pass
			if strings.HasSuffix(r.Mechanism, "-PLUS") {
				want = probe.Skip
				Expect(r.Reason).To(ContainSubstring("the same login without a fault does not succeed"))
			}
			Expect(r.Verdict).To(Equal(want), r.Name)
		}
	}, limit)

	It("judges nothing where the plain login fails, though one with PLUS succeeds", func(ctx SpecContext) {
		all, err := judgeSome(ctx, "*-256")
		Expect(err).To(MatchError(probe.ErrControl))
		Expect(all).To(HaveLen(1))
	}, limit)

	// judgeNth probes a right server. The shell runs a script before the 13th login and later ones. The 13th or
	// the 14th repeats the login without a fault.
	judgeNth := func(ctx SpecContext, script string) (started int, err error) {
		GinkgoHelper()
		count := filepath.Join(GinkgoT().TempDir(), "count")
		_, err = runProbe(ctx, probe.Config{
			Role: probe.ServerRole, Target: probe.Target{Dialect: "stdio"}, Level: "must", Timeout: 10 * time.Second, Only: regexp.MustCompile("^(03-|16-proof/flipped plain)"),
			Command: []string{"sh", "-c", `echo >>"$1"; if [ $(wc -l <"$1") -ge 13 ]; then ` + script + `; fi; exec "$0" server`, faulty, count},
		})
		text, readErr := os.ReadFile(count)
		Expect(readErr).NotTo(HaveOccurred())
		return len(text), err
	}

	It("does not take a command for one that slows down after failed logins", func(ctx SpecContext) {
		started, err := judgeNth(ctx, "[ $(wc -l <\"$1\") -gt 14 ] || sleep 2.2")
		Expect(err).NotTo(HaveOccurred())
		Expect(started).To(BeNumerically(">", 24))
	}, limit)

	It("tries nothing more when the login without a fault succeeds no more", func(ctx SpecContext) {
		started, err := judgeNth(ctx, "read line; echo no; exit")
		Expect(err).To(MatchError(probe.ErrControl))
		Expect(err).To(MatchError(ContainSubstring("succeeds no more")))
		Expect(started).To(BeNumerically("<=", 15))
	}, limit)

	It("gives up on a server that does not answer", func(ctx SpecContext) {
		_, err := runProbe(ctx, probe.Config{
			Role: probe.ServerRole, Target: probe.Target{Dialect: "stdio"}, Timeout: 200 * time.Millisecond,
			Command: []string{"env", "FAULT=hang", faulty, "server"},
		})
		Expect(err).To(MatchError(ContainSubstring("no answer in time")))
	}, limit)
})
