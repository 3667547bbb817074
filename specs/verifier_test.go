package specs

import (
	"bytes"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("A verifier", Label("area:login", "promise:2", "battery:16"), func() {
	It("lets nobody in where it differs in any octet of its StoredKey", func(ctx SpecContext) {
		h := start(func(s *server.Server) { s.Limits.FailedLogins = 1000 })
		right := harness.NewUsers().Must("alice")
		for i := range right.StoredKey {
			wrong := scram.Verifier{
				Iterations: right.Iterations, Salt: right.Salt,
				StoredKey: bytes.Clone(right.StoredKey), ServerKey: right.ServerKey,
			}
			wrong.StoredKey[i] ^= 1
			h.Users.Set("alice", wrong)
			_, err := h.Dialer().Dial(ctx, h.Addr, harness.Credentials("alice"))
			Expect(err).To(refusedWith(535, protocol.KeywordLoginFailed), "octet %d", i)
		}
		h.Users.Set("alice", right)
		Expect(h.LoggedIn(ctx, "alice").Quit(ctx)).To(Succeed(), "control")
	}, limit)
})
