package specs

import (
	"context"
	"encoding/base64"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/specs/harness"
)

// random matches the random attributes: the server's nonce and the salt.
var random = regexp.MustCompile(`r=[^,]*|s=[^,]*`)

// guess logs in with a wrong password and returns the server's messages, with x in place of random characters.
func guess(ctx context.Context, h *harness.H, name string) (answers []string) {
	GinkgoHelper()
	w := h.Connect(ctx).Greeted()
	first := base64.StdEncoding.EncodeToString([]byte("n,,n=" + name + ",r=nonce"))
	challenge := w.Ask("AUTH SCRAM-SHA-256 " + first)
	message, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(challenge, "334 "))
	Expect(err).NotTo(HaveOccurred())
	answers = append(answers, random.ReplaceAllStringFunc(string(message), func(s string) string {
		return s[:2] + strings.Repeat("x", len(s)-2)
	}))
	answers = append(answers, w.Ask(w.WrongProof(challenge)))
	return append(answers, w.Line())
}

var _ = Describe("A wrong password and the name of no user", Label("area:login", "promise:4", "battery:2", "battery:1"), func() {
	It("are answered with the same bytes, except for the random ones", func(ctx SpecContext) {
		h := start(nil)
		known, unknown := guess(ctx, h, "dave"), guess(ctx, h, "smith")
		Expect(unknown).To(Equal(known))
		Expect(known[1:]).To(Equal([]string{"535 login-failed authentication failed", "EOF"}))
		failed := h.Log.Records("login.fail")
		Expect(failed[0].Str("reason")).To(Equal("wrong-proof"))
		Expect(failed[1].Str("reason")).To(Equal("unknown-user"))
	}, limit)

	It("would differ if salts had other lengths", Label("control"), func(ctx SpecContext) {
		h := start(nil)
		v, _, _ := testserver.NewUsers().Lookup("dave")
		v.Salt = append(v.Salt, "and more"...)
		h.Users.Set("dave", v)
		Expect(guess(ctx, h, "smith")).NotTo(Equal(guess(ctx, h, "dave")))
	}, limit)
})
