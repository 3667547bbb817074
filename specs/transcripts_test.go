package specs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/scenarios/mallory"
)

// battery is the number of cases of the login battery: each must have fixtures.
const battery = 32

// scripts are the SCRAM transcripts by their names. One that is played several
// times has several.
var scripts = func() map[string][]*mallory.Script {
	all, err := mallory.Scripts()
	if err != nil {
		panic(err)
	}
	byName := map[string][]*mallory.Script{}
	for i := range all {
		name, _, _ := strings.Cut(all[i].Name, " ")
		byName[name] = append(byName[name], &all[i])
	}
	return byName
}()

// declare makes a spec of each transcript that is wanted, in an order that is the
// same in all parallel processes.
func declare(wanted func(*mallory.Script) bool, body func(SpecContext, []*mallory.Script)) {
	for _, name := range slices.Sorted(maps.Keys(scripts)) {
		if wanted(scripts[name][0]) {
			It(title(scripts[name][0]), labelsOf(scripts[name][0].Transcript), func(ctx SpecContext) { body(ctx, scripts[name]) }, limit)
		}
	}
}

// title says how a script ends, and where it comes from.
func title(s *mallory.Script) string {
	name, _, _ := strings.Cut(s.Name, " ")
	if s.Stage == fixtures.Done {
		return fmt.Sprintf("succeeds: %s (%s)", s.Source, name)
	}
	return fmt.Sprintf("fails at %s as %s: %s (%s)", s.Stage, s.Reason, s.Source, name)
}

// labelsOf are the numbers of the battery, and the promises that are at stake.
func labelsOf(t fixtures.Transcript) (labels Labels) {
	for _, n := range t.Battery {
		labels = append(labels, fmt.Sprintf("battery:%d", n))
		switch n {
		case 6, 7, 8, 9, 26:
			labels = append(labels, "promise:3")
		case 1, 2, 16:
			labels = append(labels, "promise:4")
		}
	}
	switch {
	case t.Victim == "server":
		labels = append(labels, "promise:2")
	case t.Stage == fixtures.Done:
		labels = append(labels, "control")
	}
	return labels
}

var _ = Describe("A SCRAM conversation", Label("area:login", "rfc:5802"), func() {
	for _, way := range []mallory.Way{mallory.ClientAlone, mallory.ServerAlone, mallory.EndToEnd} {
		When("it is replayed with "+string(way), func() {
			declare(func(s *mallory.Script) bool { return slices.Contains(s.Ways(), way) },
				func(ctx SpecContext, all []*mallory.Script) {
					for _, s := range all {
						replay(ctx, s, way)
					}
				})
		})
	}
})

// replay plays a script against protocol/scram, and its control, in which nobody
// may find the same.
func replay(ctx SpecContext, s *mallory.Script, way mallory.Way) {
	GinkgoHelper()
	outcome, err := s.Play(ctx, way)
	Expect(err).NotTo(HaveOccurred(), s.Name)
	Expect(s.Judge(way, outcome)).To(Succeed(), s.Name)
	if s.Control == "" || !scripts[s.Control][0].Succeeds(way) {
		return
	}
	control := scripts[s.Control][0]
	outcome, err = control.Play(ctx, way)
	Expect(err).NotTo(HaveOccurred())
	Expect(outcome).To(Equal(mallory.Outcome{Stage: fixtures.Done}), "control: %s", control.Name)
	if way == mallory.EndToEnd || s.Victim == victims[way] {
		Expect(s.Judge(way, outcome)).NotTo(Succeed(), "the control passes for the fault")
	}
}

// victims are those who are there to find something.
var victims = map[mallory.Way]string{mallory.ClientAlone: "client", mallory.ServerAlone: "server"}

var _ = Describe("The login battery", Label("area:login"), func() {
	all := func() []fixtures.Transcript {
		all, err := fixtures.Transcripts("scram")
		Expect(err).NotTo(HaveOccurred())
		return all
	}
	// inScenarios are the cases that scenarios act out.
	inScenarios := func() map[string]bool {
		labels := map[string]bool{}
		suite, err := scenarios.Load(fixtures.Scenarios())
		Expect(err).NotTo(HaveOccurred())
		for _, s := range suite {
			for _, label := range s.Labels {
				labels[label] = true
			}
		}
		return labels
	}

	It("has a scenario, or a fixture that states stage and reason, and its control, for each case", func() {
		acted := inScenarios()
		for n := 1; n <= battery; n++ {
			if lack := lacks(all(), n); !acted[fmt.Sprint("battery:", n)] {
				Expect(lack).To(BeEmpty(), "battery:%d", n)
			}
		}
	})

	It("has controls that succeed wherever the victim stands alone", func() {
		for _, all := range scripts {
			for way, victim := range victims {
				if all[0].Victim == victim {
					Expect(scripts[all[0].Control]).NotTo(BeEmpty(), all[0].Name)
					Expect(scripts[all[0].Control][0].Succeeds(way)).To(BeTrue(), all[0].Name)
				}
			}
		}
	})

	It("would miss a fixture or a control that is not there", Label("control"), func() {
		without := func(unwanted func(fixtures.Transcript) bool) []fixtures.Transcript {
			return slices.DeleteFunc(all(), unwanted)
		}
		for n := 1; n <= battery; n++ {
			if lacks(all(), n) != "" {
				continue // only scenarios act it out
			}
			Expect(lacks(without(func(t fixtures.Transcript) bool {
				return t.Stage != fixtures.Done && slices.Contains(t.Battery, n)
			}), n)).To(ContainSubstring("no fixture"))
			Expect(lacks(without(func(t fixtures.Transcript) bool { return t.Stage == fixtures.Done }), n)).To(ContainSubstring("no control"))
		}
	})
})

// lacks says what is missing of one case of the battery.
func lacks(all []fixtures.Transcript, n int) string {
	successes := map[string]bool{}
	for _, t := range all {
		successes[t.Name] = t.Stage == fixtures.Done
	}
	found := false
	for _, t := range all {
		if t.Stage == fixtures.Done || !slices.Contains(t.Battery, n) {
			continue
		}
		found = true
		if !successes[t.Control] {
			return t.Name + " has no control that succeeds"
		}
	}
	if !found {
		return "there is no fixture that states stage and reason"
	}
	return ""
}
