package specs

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("Limits of the lobby", Label("area:limits", "promise:2"), func() {
	DescribeTable("close without an octet what is over them, and let others in when there is room",
		func(ctx SpecContext, limits server.Limits, reason string) {
			h := start(func(s *server.Server) { s.Limits = limits })
			first, second := h.Wire(ctx, true).Greeted(), h.Wire(ctx, true).Greeted()
			c, err := net.Dial("tcp", h.Addr)
			Expect(err).NotTo(HaveOccurred())
			defer c.Close()
			Expect(io.ReadAll(c)).To(BeEmpty())
			Expect(h.Log.Records("conn.refuse")).To(HaveExactElements(HaveKeyWithValue("reason", reason)))
			Expect(first.Ask("QUIT")).To(HavePrefix("221 "))
			Expect(first.Close()).To(Succeed())
			Eventually(ctx, func() error { return hasRoom(ctx, h, 1) }).Should(Succeed())
			Expect(second.Ask("NOOP")).To(Equal("250 ok"))
		},
		Entry("on all connections", server.Limits{Lobby: 2, LobbyPerSource: 9}, "lobby-full", limit),
		Entry("on those of one source", server.Limits{Lobby: 9, LobbyPerSource: 2}, "source-full", limit),
	)

	It("do not count who has the seat or waits for it", func(ctx SpecContext) {
		h := start(func(s *server.Server) { s.Limits.Lobby = 1 })
		h.LoggedIn(ctx, "alice")
		for _, name := range harness.Cast()[1:4] {
			h.Queued(ctx, name)
		}
	}, limit)

	It("throttle a source that has failed too often, before it can guess again", func(ctx SpecContext) {
		h := start(func(s *server.Server) { s.Limits.FailedLogins = 2 })
		guess := func() string {
			w := h.Wire(ctx, true).Greeted()
			got := w.Ask("AUTH SCRAM-SHA-256 biwsbj1hbGljZSxyPW5vbmNl")
			if strings.HasPrefix(got, "334 ") {
				got = w.Ask(w.WrongProof(got))
			}
			return got
		}
		Expect(guess()).To(HavePrefix("535 "))
		Expect(guess()).To(HavePrefix("535 "))
		// A slow machine wins guesses back meanwhile, one a second.
		Eventually(ctx, guess).Should(HavePrefix("421 throttled "))
		Expect(h.Log.Records("login.fail")).To(ContainElement(HaveKeyWithValue("reason", "throttled")))
	}, limit)
})

var _ = Describe("A drop in the middle of a reply", Label("area:faults", "promise:6", "battery:31"), func() {
	DescribeTable("frees the seat",
		func(ctx SpecContext, drop func(*harness.Wire), reason string) {
			const size = 32 << 20 // more than the kernel takes for a client that doesn't read
			reply := make([]byte, size)
			h := start(func(s *server.Server) {
				s.Handler = server.HandlerFunc(func(context.Context, *server.Request) (protocol.Reply, error) {
					return protocol.Reply{Body: reply}, nil
				})
			})
			alice := h.Wire(ctx, true).Seated("alice")
			Expect(alice.Ask("GIVE")).To(Equal("251 33554432"))
			drop(alice)
			Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
			end := h.Log.Records("session.close")[0]
			Expect(end.Str("reason")).To(Equal(reason))
			Expect(end["bytes_out"]).To(BeNumerically("<", size), "it was not over")
			Expect(h.Log.Records("request")[0].Str("verb")).To(Equal("GIVE"), "what was answered is on record")
		},
		Entry("by a reset", func(w *harness.Wire) {
			Expect(w.TCP.SetLinger(0)).To(Succeed())
			Expect(w.TCP.Close()).To(Succeed())
		}, "reset", limit),
		Entry("by a close with the reply unread, which is a reset", func(w *harness.Wire) {
			Expect(w.TCP.Close()).To(Succeed())
		}, "reset", limit),
	)
})

var _ = Describe("A newcomer under takeover", Label("area:admission", "promise:1", "promise:6"), func() {
	It("waits no longer than its time for a handler that ignores its cancellation", func(ctx SpecContext) {
		entered, leave := make(chan struct{}), make(chan struct{})
		h := start(func(s *server.Server) {
			s.Admission = server.Takeover{Wait: 100 * time.Millisecond}
			s.Handler = server.HandlerFunc(func(context.Context, *server.Request) (r protocol.Reply, err error) {
				close(entered)
				<-leave
				return r, nil
			})
		})
		defer close(leave)
		alice := h.Wire(ctx, true).Seated("alice")
		alice.Send("WORK\r\n")
		Eventually(ctx, entered).Should(BeClosed())
		_, err := h.Dialer().Dial(ctx, h.Addr, harness.Credentials("bob"))
		Expect(err).To(refusedWith(421, protocol.KeywordWaitTimeout))
		Expect(h.Log.Records("session.open")).To(HaveLen(1))
	}, limit)
})

// hasRoom checks that so many connections can be in the lobby at once.
func hasRoom(ctx context.Context, h *harness.H, places int) error {
	d := tls.Dialer{Config: &tls.Config{RootCAs: h.Roots}}
	for range places {
		c, err := d.DialContext(ctx, "tcp", h.Addr)
		if err != nil {
			return err
		}
		defer c.Close()
		greeting := make([]byte, 4)
		if _, err := io.ReadFull(c, greeting); err != nil || string(greeting) != "220 " {
			return fmt.Errorf("greeted with %q: %w", greeting, err)
		}
	}
	return nil
}
