package specs

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
)

// numbered are the kinds of labels that are counted, and how many of each there
// must be: the promises, and the cases of the login battery.
var numbered = []struct {
	kind string
	most int
}{{"promise", 7}, {"battery", 32}}

// How many specs guard each promise, and act out each case of the login
// battery, at the end of every run. In a run of all there must be some of each.
var _ = ReportAfterSuite("labels", func(report Report) {
	count := counted(report.SpecReports)
	for _, n := range numbered {
		for i := 1; i <= n.most; i++ {
			if label := fmt.Sprintf("%s:%d", n.kind, i); count[label] > 0 {
				fmt.Printf("%s: %d specs\n", label, count[label])
			}
		}
	}
	c := report.SuiteConfig
	if c.LabelFilter == "" && len(c.FocusStrings)+len(c.FocusFiles)+len(c.SkipStrings)+len(c.SkipFiles) == 0 && !c.DryRun && report.SuiteSucceeded {
		Expect(unguarded(count)).To(BeEmpty())
	}
})

// counted says how many of the specs that ran have each label.
func counted(reports types.SpecReports) map[string]int {
	count := map[string]int{}
	for _, spec := range reports {
		if spec.LeafNodeType == types.NodeTypeIt && spec.State != types.SpecStateSkipped {
			for _, label := range spec.Labels() {
				count[label]++
			}
		}
	}
	return count
}

// unguarded are the labels that no spec has.
func unguarded(count map[string]int) (labels []string) {
	for _, n := range numbered {
		for i := 1; i <= n.most; i++ {
			if label := fmt.Sprintf("%s:%d", n.kind, i); count[label] == 0 {
				labels = append(labels, label)
			}
		}
	}
	return labels
}

var _ = Describe("The count of labels", Label("control"), func() {
	It("finds a promise and a case of the battery that no spec guards", func() {
		all := map[string]int{}
		for _, label := range unguarded(nil) {
			all[label] = 1
		}
		Expect(all).To(HaveLen(7 + 32))
		delete(all, "promise:5")
		all["battery:32"] = 0
		Expect(unguarded(all)).To(Equal([]string{"promise:5", "battery:32"}))
	})
})
