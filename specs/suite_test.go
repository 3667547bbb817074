// Package specs holds what Sallyport promises, as a Ginkgo suite: each spec
// runs a server of its own in the process and talks to it over real sockets.
// Labels say what a spec is about (area:admission) and which promise it guards
// (promise:1).
package specs

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	"github.com/onsi/gomega/gleak"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

func TestSpecs(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Sallyport")
}

// limit is how long any spec may take: none waits for anything but events.
const limit = SpecTimeout(30 * time.Second)

// limitOfNode is the same for what comes before and after a spec.
const limitOfNode = NodeTimeout(30 * time.Second)

// The command is built once, by the first of the parallel processes, and
// removed when the last has ended. A run that leaves its specs out with the
// filter !area:command does without.
var _ = SynchronizedBeforeSuite(func() []byte {
	if strings.Contains(GinkgoLabelFilter(), "!area:command") {
		return nil
	}
	DeferCleanup(gexec.CleanupBuildArtifacts)
	path, err := gexec.Build("github.com/sallyport/sallyport/cmd/sallyport", buildFlags...)
	Expect(err).NotTo(HaveOccurred())
	return []byte(path)
}, func(path []byte) {
	commandPath = string(path)
	gleak.IgnoreGinkgoParallelClient()
})

// Every spec must leave no goroutine behind, whatever it has done to the
// server.
var _ = BeforeEach(func() {
	before := gleak.Goroutines()
	DeferCleanup(func() {
		Eventually(gleak.Goroutines).WithTimeout(5 * time.Second).ShouldNot(gleak.HaveLeaked(before))
	})
})

// start runs a server for this spec and shows its log where the spec fails.
func start(configure func(*server.Server)) *harness.H {
	h := harness.Start(GinkgoTB(), configure)
	DeferCleanup(func() {
		if CurrentSpecReport().Failed() {
			AddReportEntry("interaction log", h.Log.String())
		}
	})
	return h
}
