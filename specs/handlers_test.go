package specs

import (
	"context"
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
)

var _ = Describe("Handlers", Label("area:session", "promise:6"), func() {
	It("answer an error, a panic and an overdue request with 554, and the session goes on", func(ctx SpecContext) {
		h := start(func(s *server.Server) {
			s.Limits.Request = 50e6
			mux := s.Stock()
			mux.HandleFunc("FAIL", func(context.Context, *server.Request) (r protocol.Reply, err error) {
				return r, errors.New("an inner secret")
			})
			mux.HandleFunc("PANIC", func(context.Context, *server.Request) (protocol.Reply, error) { panic("an inner secret") })
			mux.HandleFunc("HANG", func(ctx context.Context, _ *server.Request) (r protocol.Reply, err error) {
				<-ctx.Done()
				return r, nil
			})
			mux.HandleFunc("NO", func(context.Context, *server.Request) (r protocol.Reply, err error) {
				return r, server.Refuse("not today")
			})
			s.Handler = mux
		})
		w := h.Wire(ctx, true).Seated("alice")
		for _, verb := range []string{"FAIL", "PANIC", "HANG", "HANG"} {
			Expect(w.Ask(verb)).To(And(HavePrefix("554 failed "), Not(ContainSubstring("secret"))))
		}
		Expect(w.Ask("NO")).To(Equal("550 refused not today"))
		Expect(w.Ask("ECHO still here")).To(Equal("250 still here"))
		Expect(h.Log.Records("handler.panic")).To(HaveLen(1))
		Expect(h.Log.String()).NotTo(ContainSubstring("secret"))
	}, limit)

	It("are cancelled when their client has gone", func(ctx SpecContext) {
		entered, left := make(chan struct{}), make(chan error, 1)
		h := start(func(s *server.Server) {
			mux := s.Stock()
			mux.HandleFunc("HANG", func(ctx context.Context, _ *server.Request) (r protocol.Reply, err error) {
				close(entered)
				<-ctx.Done()
				left <- context.Cause(ctx)
				return r, nil
			})
			s.Handler = mux
		})
		w := h.Wire(ctx, true).Seated("alice")
		w.Send("HANG\r\n")
		Eventually(ctx, entered).Should(BeClosed())
		Expect(w.TCP.Close()).To(Succeed())
		Eventually(ctx, left).WithTimeout(1e9).Should(Receive(MatchError("the client has gone")))
		Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
	}, limit)

	It("keep the pipeline that came while they ran", func(ctx SpecContext) {
		release := make(chan struct{})
		h := start(func(s *server.Server) {
			mux := s.Stock()
			mux.HandleFunc("WAIT", func(context.Context, *server.Request) (r protocol.Reply, err error) {
				<-release
				return r, nil
			})
			s.Handler = mux
		})
		w := h.Wire(ctx, true).Seated("alice")
		w.Send("WAIT\r\n")
		Consistently(ctx, release).WithTimeout(150e6).ShouldNot(Receive())
		w.Send("ECHO one\r\nBODY 3 ECHO\r\nabcECHO two\r\n")
		close(release)
		for _, want := range []string{"250 ", "250 one", "251 3", "abc250 two"} {
			Expect(w.Line()).To(Equal(want))
		}
	}, limit)
})
