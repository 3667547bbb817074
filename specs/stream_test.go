package specs

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("A raw stream", Label("area:stream", "promise:1"), func() {
	// opened starts a server whose backend is a device on TCP, and lets alice open the stream.
	opened := func(ctx SpecContext, configure func(*server.Server)) (h *harness.H, alice *harness.Conn, device *net.TCPConn) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(l.Close)
		h = start(func(s *server.Server) {
			s.Backend = func(ctx context.Context, _ *server.Request) (io.ReadWriteCloser, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
			}
			if configure != nil {
				configure(s)
			}
		})
		alice = h.Connect(ctx).Seated("alice")
		Expect(alice.Ask("OPEN")).To(Equal("252 open"))
		c, err := l.Accept()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = c.Close() })
		return h, alice, c.(*net.TCPConn)
	}
	closed := func(ctx SpecContext, h *harness.H) string {
		GinkgoHelper()
		Eventually(ctx, func() []testserver.Record { return h.Log.Records("session.close") }).Should(HaveLen(1))
		return h.Log.Records("session.close")[0].Str("reason")
	}

	DescribeTable("frees the seat of a client that has gone, though the backend is silent", Label("promise:6"),
		func(ctx SpecContext, leave func(*harness.Conn), reason string) {
			h, alice, device := opened(ctx, func(s *server.Server) { s.Limits.Vanish = 200 * time.Millisecond })
			leave(alice)
			Expect(closed(ctx, h)).To(Equal(reason))
			Eventually(ctx, func() error {
				_ = device.SetReadDeadline(time.Now().Add(time.Second))
				_, err := device.Read(make([]byte, 1))
				return err
			}).Should(HaveOccurred(), "the backend's connection ends, too")
			Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
		},
		Entry("politely", func(w *harness.Conn) { Expect(w.Close()).To(Succeed()) }, "idle", limit),
		Entry("without a close_notify", func(w *harness.Conn) { Expect(w.TCP.Close()).To(Succeed()) }, "cut", limit),
		Entry("with a reset after a half-close", func(w *harness.Conn) {
			Expect(w.CloseWrite()).To(Succeed())
			Expect(w.TCP.SetLinger(0)).To(Succeed())
			Expect(w.TCP.Close()).To(Succeed())
		}, "reset", limit),
	)

	It("has no close_notify if the backend has failed", func(ctx SpecContext) {
		h, alice, device := opened(ctx, nil)
		Expect(device.SetLinger(0)).To(Succeed())
		Expect(device.Close()).To(Succeed())
		Expect(alice.Line()).To(HavePrefix("no close_notify: "))
		Expect(closed(ctx, h)).To(Equal("backend"))
	}, limit)

	It("ends without a 421 in it, whatever ends it", func(ctx SpecContext) {
		h, alice, _ := opened(ctx, func(s *server.Server) { s.Limits.Idle = 300 * time.Millisecond })
		h.Log.Fail(errors.New("no space left on device"))
		all, _ := io.ReadAll(alice)
		Expect(all).To(BeEmpty())
		h.Log.Fail(nil)
	}, limit)

	It("is taken over like any session", func(ctx SpecContext) {
		h, alice, device := opened(ctx, func(s *server.Server) { s.Admission = server.Takeover{} })
		bob := h.LoggedIn(ctx, "bob")
		Expect(io.ReadAll(device)).To(BeEmpty())
		Expect(alice.Line()).To(HavePrefix("no close_notify: "))
		Expect(closed(ctx, h)).To(Equal("evicted"))
		Expect(bob.Quit(ctx)).To(Succeed())
	}, limit)

	It("takes no messages", func(ctx SpecContext) {
		h, _, _ := opened(ctx, nil)
		Expect(h.Server.Say("anybody?")).To(MatchError(server.ErrNoMessages))
	}, limit)

	It("is refused if the backend can't be reached", func(ctx SpecContext) {
		for _, failure := range []error{errors.New("an inner secret"), nil} {
			h := start(func(s *server.Server) {
				s.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) { return nil, failure }
			})
			alice := h.Connect(ctx).Seated("alice")
			Expect(alice.Ask("OPEN")).To(And(HavePrefix("554 failed "), Not(ContainSubstring("secret"))))
			Expect(alice.Ask("ECHO still here")).To(Equal("250 still here"))
		}
	}, limit)
})

// flooded returns a client in a stream whose backend reads nothing and sends without end. The client reads nothing.
func flooded(ctx SpecContext, limits server.Limits) (*harness.H, *harness.Conn) {
	GinkgoHelper()
	ours, theirs := net.Pipe()
	DeferCleanup(ours.Close)
	h := start(func(s *server.Server) {
		s.Limits = limits
		s.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) { return theirs, nil }
	})
	alice := h.Connect(ctx).Seated("alice")
	Expect(alice.TCP.SetReadBuffer(4096)).To(Succeed())
	Expect(alice.Ask("OPEN")).To(Equal("252 open"))
	go func() {
		for {
			if _, err := ours.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}()
	return h, alice
}

var _ = Describe("A client that doesn't read", Label("area:faults", "promise:6"), func() {
	It("loses the seat when it is idle, though the backend of its stream doesn't read either", func(ctx SpecContext) {
		h, alice := flooded(ctx, server.Limits{Idle: time.Second})
		alice.Send("the backend reads nothing")
		Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
		Expect(h.Log.Records("session.close")[0].Str("reason")).To(Equal("idle"))
	}, limit)
})
