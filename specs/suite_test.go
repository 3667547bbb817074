// Package specs is the Ginkgo suite that checks what Sallyport promises. Each spec runs its own server in the
// process and talks to it over real sockets. Labels name the area of a spec (area:admission), the promise that
// it guards (promise:1) and the case of the login battery (battery:3).
package specs

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

func TestSpecs(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Sallyport")
}

const (
	limit       = harness.Limit
	limitOfNode = harness.LimitOfNode
)

// The command is built once, by the first of the parallel processes, and removed when the last one has ended. A
// run with the filter !area:command does not need it.
var _ = SynchronizedBeforeSuite(func() []byte {
	if strings.Contains(GinkgoLabelFilter(), "!area:command") {
		return nil
	}
	DeferCleanup(gexec.CleanupBuildArtifacts)
	path, err := gexec.Build("github.com/sallyport/sallyport/cmd/sallyport", buildFlags...)
	Expect(err).NotTo(HaveOccurred())
	return []byte(path)
}, func(path []byte) { commandPath = string(path) })

var _ = harness.NoLeaks()

// start runs a server for this spec.
func start(configure func(*server.Server)) *harness.H { return harness.Serve(configure) }

// numbered are the labels of the promises and of the cases of the login battery.
var numbered = func() (labels []string) {
	for i := range 7 {
		labels = append(labels, fmt.Sprint("promise:", i+1))
	}
	for i := range 32 {
		labels = append(labels, fmt.Sprint("battery:", i+1))
	}
	return append(labels, "battery:33", "battery:34", "battery:35", "battery:36")
}()

var _ = harness.CountLabels(numbered...)

var _ = Describe("The count of labels", Label("control"), func() {
	It("finds a promise and a case of the battery without a spec", func(SpecContext) {
		all := map[string]int{}
		for _, label := range numbered {
			all[label] = 1
		}
		Expect(harness.Unguarded(all, numbered)).To(BeEmpty())
		delete(all, "promise:5")
		all["battery:32"] = 0
		Expect(harness.Unguarded(all, numbered)).To(Equal([]string{"promise:5", "battery:32"}))
	}, limit)
})
