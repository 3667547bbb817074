package peers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

// How many specs set each promise and each case of the login battery against a
// peer, at the end of every run.
var _ = ReportAfterSuite("labels", func(report Report) {
	count := map[string]int{}
	for _, spec := range report.SpecReports {
		for _, label := range spec.Labels() {
			guards := strings.HasPrefix(label, "promise:") || strings.HasPrefix(label, "battery:")
			if guards && spec.LeafNodeType == types.NodeTypeIt && spec.State != types.SpecStateSkipped {
				count[label]++
			}
		}
	}
	for _, label := range slices.SortedFunc(maps.Keys(count), byNumber) {
		fmt.Printf("%s: %d specs\n", label, count[label])
	}
})

// byNumber orders battery:9 before battery:12.
func byNumber(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}
