package specs

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
)

var _ = Describe("The stock verbs", Label("area:session"), func() {
	It("end for the client whom the operator evicts, at once", Label("promise:6"), func(ctx SpecContext) {
		h := start(nil)
		for range 30 { // what comes as the server wakes up is the rare case
			alice := h.LoggedIn(ctx, "alice")
			Expect(h.Server.Evict()).To(BeTrue())
			Expect(alice.Quit(ctx)).To(refusedWith(421, protocol.KeywordEvicted))
			Eventually(ctx, h.Server.Evict).Should(BeFalse(), "control: no client is left")
		}
		Expect(h.Log.Records("request")).To(BeEmpty())
	}, limit)
})
