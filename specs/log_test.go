package specs

import (
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("The interaction log", Label("area:log", "promise:5"), func() {
	var h *harness.H
	BeforeEach(func() { h = start(nil) })

	It("has a request on record before its reply is sent", func(ctx SpecContext) {
		alice := h.Connect(ctx).Seated("alice")
		for range 20 {
			Expect(alice.Ask("TIME")).To(HavePrefix("250 "))
			n := len(h.Log.Records("request"))
			Expect(alice.Ask("TIME")).To(HavePrefix("250 "))
			Expect(h.Log.Records("request")).To(HaveLen(n + 1))
		}
	}, limit)

	It("stops a server that can't write it, until it can again", func(ctx SpecContext) {
		alice := h.Connect(ctx).Seated("alice")
		h.Log.Fail(errors.New("no space left on device"))
		Expect(alice.Ask("ECHO unlogged")).To(HavePrefix("421 log-failed "))
		_, err := h.Dialer().Dial(ctx, h.Addr, testserver.Credentials("bob"))
		Expect(err).To(refusedWith(421, protocol.KeywordLogFailed))
		h.Log.Fail(nil)
		Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
	}, limit)
})
