package specs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

// How many specs guard each promise, and act out each case of the login
// battery, at the end of every run.
var _ = ReportAfterSuite("labels", func(report Report) {
	count := map[string]int{}
	for _, spec := range report.SpecReports {
		if spec.LeafNodeType != types.NodeTypeIt || spec.State == types.SpecStateSkipped {
			continue
		}
		for _, label := range spec.Labels() {
			if kind, _, _ := strings.Cut(label, ":"); kind == "promise" || kind == "battery" {
				count[label]++
			}
		}
	}
	for _, label := range slices.SortedFunc(maps.Keys(count), byNumber) {
		fmt.Printf("%s: %d specs\n", label, count[label])
	}
})

// byNumber orders promise:2 before promise:10.
func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
