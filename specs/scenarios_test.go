package specs

import (
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/specs/harness"
)

// Each combination of each scenario in fixtures is a spec.
var _ = Describe("Scenario", func() {
	suite, err := scenarios.Load(fixtures.Scenarios())
	if err != nil {
		panic(err)
	}
	for _, s := range suite {
		area, _, _ := strings.Cut(s.Name, "/")
		for _, combination := range s.Matrix {
			title := strings.TrimSpace(s.Name + " " + combination.String())
			It(title, Label(append(labelled(s.Labels), "area:"+area)...), func(ctx SpecContext) {
				r := scenarios.Run(ctx, s, combination, &scenarios.Target{})
				if r.Status == scenarios.Skipped {
					Skip(r.Reason)
				}
				Expect(r.Err).NotTo(HaveOccurred(), r.Transcript)
				checkLogOf(&r)
			}, limit)
		}
	}
})

// control matches a line in which a client succeeds without the fault.
var control = regexp.MustCompile(`(?m)^(\[[^]]*\] *)*(alice|bob|carol|dave|mallory) +(login|reaches (session|\$step)|authenticates|hears 235|unaltered)`)

var _ = Describe("A scenario of the login battery", func() {
	It("has its control in it", func(SpecContext) {
		suite, err := scenarios.Load(fixtures.Scenarios())
		Expect(err).NotTo(HaveOccurred())
		for _, s := range suite {
			if strings.Contains(strings.Join(s.Labels, " "), "battery:") {
				Expect(strings.Join(s.Lines, "\n")).To(MatchRegexp(control.String()), s.Name)
			}
		}
	}, limit)

	It("would fail the check without one", Label("control"), func(SpecContext) {
		Expect(control.MatchString("# battery:1\n! alice login password=guess\nalice hears 535")).To(BeFalse())
	}, limit)
})

// checkLogOf checks the log of a scenario's server, like every other log.
func checkLogOf(r *scenarios.Result) {
	GinkgoHelper()
	var log strings.Builder
	for _, record := range r.Log {
		log.Write(append(record, '\n'))
	}
	script := strings.Join(r.Scenario.Lines, "\n")
	asked := harness.Payload{Sent: strings.Contains(script, "log-payload"), Names: strings.Contains(script, "log-names")}
	Expect(harness.CheckLog(log.String(), asked)).To(Succeed(), "%s", &log)
}

// labelled returns the labels that the suite counts.
func labelled(all []string) (labels []string) {
	for _, label := range all {
		if strings.HasPrefix(label, "promise:") || strings.HasPrefix(label, "battery:") {
			labels = append(labels, label)
		}
	}
	return labels
}
