package specs

import (
	"regexp"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// evict makes the holder leave.
func evict(h *harness.H) error {
	_, err := h.Server.Evict(nil, "operator", "")
	return err
}

var _ = Describe("The stock verbs", Label("area:session"), func() {
	It("end at once for a client that the operator evicts", Label("promise:6"), func(ctx SpecContext) {
		h := start(nil)
		for range 30 { // a line that comes while the server wakes up is a rare case
			alice := h.LoggedIn(ctx, "alice")
			Expect(evict(h)).To(Succeed())
			Expect(alice.Quit(ctx)).To(refusedWith(421, protocol.KeywordEvicted))
			Eventually(ctx, evict).WithArguments(h).Should(MatchError(server.ErrNobodySeated), "control: no client is left")
		}
		Expect(h.Log.Records("request")).To(BeEmpty())
	}, limit)

	It("include STAT, which needs no seat", Label("battery:34"), func(ctx SpecContext) {
		h := start(nil)
		seated := h.LoggedIn(ctx, "alice")
		ours, err := seated.Do(ctx, harness.Ask("STAT", ""))
		Expect(err).NotTo(HaveOccurred())
		theirs, err := h.Dialer().Stat(ctx, h.Addr, testserver.Credentials("bob"))
		Expect(err).NotTo(HaveOccurred())
		keep := regexp.MustCompile("(?m)^(holder|since|waiting|served) .*$")
		Expect(keep.FindAllString(theirs.Text, -1)).To(Equal(keep.FindAllString(ours.Text, -1)))
		Expect(keep.FindAllString(theirs.Text, -1)).To(HaveLen(4))
	}, limit)
})
