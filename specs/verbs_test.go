package specs

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
)

var _ = Describe("The stock verbs", Label("area:session"), func() {
	It("end at once for a client that the operator evicts", Label("promise:6"), func(ctx SpecContext) {
		h := start(nil)
		for range 30 { // a line that comes while the server wakes up is a rare case
			alice := h.LoggedIn(ctx, "alice")
			Expect(h.Server.Evict()).To(BeTrue())
			Expect(alice.Quit(ctx)).To(refusedWith(421, protocol.KeywordEvicted))
			Eventually(ctx, h.Server.Evict).Should(BeFalse(), "control: no client is left")
		}
		Expect(h.Log.Records("request")).To(BeEmpty())
	}, limit)
})
