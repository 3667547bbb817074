package harness

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/sallyport/sallyport/server"
)

// Limit bounds a spec, and LimitOfNode what comes before and after it. Specs wait
// for events alone, so that only a broken one takes so long.
const (
	Limit       = ginkgo.SpecTimeout(time.Minute)
	LimitOfNode = ginkgo.NodeTimeout(time.Minute)
)

// NoLeaks has each spec of a suite prove that it leaves no goroutine behind,
// whatever it has done to the server. Call it at the top level.
func NoLeaks() bool {
	ignore := sync.OnceFunc(gleak.IgnoreGinkgoParallelClient)
	return ginkgo.BeforeEach(func() {
		ignore()
		before := gleak.Goroutines()
		ginkgo.DeferCleanup(func() {
			gomega.Eventually(gleak.Goroutines).WithTimeout(5 * time.Second).ShouldNot(gleak.HaveLeaked(before))
		})
	})
}

// Serve is [Start] for a Ginkgo spec. Where the spec fails, its report has the log.
func Serve(configure func(*server.Server)) *H {
	ginkgo.GinkgoHelper()
	h := Start(ginkgo.GinkgoTB(), configure)
	ginkgo.DeferCleanup(func() {
		if ginkgo.CurrentSpecReport().Failed() {
			ginkgo.AddReportEntry("interaction log", h.Log.String())
		}
	})
	return h
}

// Needed are the programs that must be there. They stand in $SALLYPORT_NEED,
// separated by commas: CI sets it, so that no check is lost unnoticed.
func Needed() []string {
	return strings.FieldsFunc(os.Getenv("SALLYPORT_NEED"), func(r rune) bool { return r == ',' })
}

// Tool returns the path of a program. Where it is not installed the spec is
// skipped, and fails if the program is [Needed].
func Tool(name string) (path string) {
	ginkgo.GinkgoHelper()
	path, err := exec.LookPath(name)
	// Debian's PostgreSQL stands in a directory for each version.
	if versions, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); err != nil && len(versions) > 0 {
		return versions[len(versions)-1]
	}
	if err != nil {
		Missing(name, name+" is not installed")
	}
	return path
}

// Missing skips the spec, and fails it if the program is [Needed].
func Missing(name, why string) {
	ginkgo.GinkgoHelper()
	if slices.Contains(Needed(), name) {
		ginkgo.Fail(why + ", and $SALLYPORT_NEED names it")
	}
	ginkgo.Skip(why)
}

// CountLabels has a suite print, at the end of each run, how many of the specs that ran guard each promise and
// act out each case of the login battery. Where all specs ran and passed, each label in wanted must be among
// them. Call it at the top level.
func CountLabels(wanted ...string) bool {
	return ginkgo.ReportAfterSuite("labels", func(report ginkgo.Report) {
		count := countLabels(report.SpecReports)
		for _, label := range slices.SortedFunc(maps.Keys(count), byNumber) {
			fmt.Printf("%s: %d specs\n", label, count[label])
		}
		c := report.SuiteConfig
		filters := slices.Concat(c.FocusStrings, c.FocusFiles, c.SkipStrings, c.SkipFiles)
		if report.SuiteSucceeded && c.LabelFilter == "" && len(filters) == 0 && !c.DryRun {
			gomega.Expect(Unguarded(count, wanted)).To(gomega.BeEmpty())
		}
	})
}

// byNumber sorts battery:9 before battery:12, and that before promise:1.
func byNumber(a, b string) int {
	return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// Unguarded returns the wanted labels that no spec has.
func Unguarded(count map[string]int, wanted []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(label string) bool { return count[label] > 0 })
}

func countLabels(reports types.SpecReports) map[string]int {
	count := map[string]int{}
	for _, spec := range reports {
		for _, label := range spec.Labels() {
			numbered := strings.HasPrefix(label, "promise:") || strings.HasPrefix(label, "battery:")
			if numbered && spec.LeafNodeType == types.NodeTypeIt && spec.State != types.SpecStateSkipped {
				count[label]++
			}
		}
	}
	return count
}
