package specs

import (
	"crypto/tls"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("A login that can't be bound", Label("area:login", "promise:3", "battery:26"), func() {
	// Nothing binds to an Ed25519 certificate on TLS 1.2, so the server offers no PLUS.
	It("is given up by a client that is to bind it, before anything is sent", func(ctx SpecContext) {
		h := start(func(s *server.Server) {
			s.TLSConfig = &tls.Config{
				Certificates: []tls.Certificate{harness.Certificate(harness.Ed25519)}, MinVersion: tls.VersionTLS12,
			}
		})
		dialer := h.Dialer()
		dialer.TLSConfig.MinVersion, dialer.TLSConfig.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		_, err := dialer.Dial(ctx, h.Addr, harness.Credentials("alice"))
		Expect(err).To(MatchError(client.ErrBindingUnavailable))
		Expect(h.Log.Records("login.ok", "login.fail")).To(BeEmpty())

		dialer.ChannelBinding = client.BindingNone
		alice, err := dialer.Dial(ctx, h.Addr, harness.Credentials("alice"))
		Expect(err).NotTo(HaveOccurred(), "control")
		Expect(alice.Quit(ctx)).To(Succeed())
	}, limit)
})
