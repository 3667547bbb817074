package specs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// corked collects writes while held is set, so that several TLS records go out in one TCP segment.
type corked struct {
	net.Conn
	held *bytes.Buffer
}

func (c *corked) Write(p []byte) (int, error) {
	if c.held != nil {
		return c.held.Write(p)
	}
	return c.Conn.Write(p)
}

func (c *corked) uncork() {
	GinkgoHelper()
	records := c.held.Bytes()
	c.held = nil
	Expect(c.Write(records)).To(Equal(len(records)))
}

var _ = Describe("A client that misbehaves", Label("area:faults", "promise:6"), func() {
	It("gets 503 for a request before the 235, also if it comes in a second record", Label("promise:2", "battery:17"), func(ctx SpecContext) {
		h := start(nil)
		tcp := &corked{Conn: dial(ctx, h)}
		w := h.ConnectOn(ctx, tcp).Greeted()
		_, final := w.Challenged("alice")
		tcp.held = &bytes.Buffer{}
		w.Send(final + "\r\n\r\n")
		w.Send("ECHO too early\r\n")
		tcp.uncork()
		Expect(w.Line()).To(HavePrefix("334 "))
		Expect(w.Line()).To(HavePrefix("503 sequence "))
		Expect(w.Line()).To(Equal("EOF"))
	}, limit)

	It("loses its place in the lobby at the deadline though it doesn't read", Label("battery:19"), func(ctx SpecContext) {
		h := start(func(s *server.Server) { s.Limits.Login, s.Limits.Write = 300*time.Millisecond, 30*time.Second })
		w := h.Connect(ctx)
		Expect(w.TCP.SetReadBuffer(4096)).To(Succeed())
		Expect(w.SetWriteDeadline(time.Now().Add(10 * time.Second))).To(Succeed())
		go func() {
			for {
				if _, err := io.WriteString(w, strings.Repeat("EHLO me\r\n", 500)); err != nil {
					return
				}
			}
		}()
		Eventually(ctx, func() []string { return h.Log.Events("") }).WithTimeout(10 * time.Second).Should(ContainElement("conn.close"))
	}, limit)
})

var _ = Describe("A handler that misbehaves", Label("area:faults"), func() {
	serve := func(f server.HandlerFunc) *harness.H {
		return start(func(s *server.Server) { s.Handler = f })
	}

	It("can't change the record of its request", Label("promise:5"), func(ctx SpecContext) {
		h := serve(func(_ context.Context, r *server.Request) (protocol.Reply, error) {
			r.Verb, r.Argument, r.User = "HARMLESS", "", "mallory"
			return protocol.Reply{}, nil
		})
		w := h.Connect(ctx).Seated("alice")
		Expect(w.Ask("FORMAT all disks")).To(Equal("250 "))
		Expect(w.Ask("WHOAMI")).To(Equal("250 alice"))
		Expect(h.Log.Records("request")[0]).To(HaveKeyWithValue("verb", "FORMAT"))
		Expect(h.Log.Records("request")[0]).To(HaveKeyWithValue("argument_bytes", 9.0))
	}, limit)

	It("loses the seat, as the log says, if it ends its goroutine", Label("promise:6"), func(ctx SpecContext) {
		h := serve(func(context.Context, *server.Request) (r protocol.Reply, err error) {
			runtime.Goexit()
			return r, err
		})
		w := h.Connect(ctx).Seated("alice")
		w.Send("WORK\r\n")
		Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
		Expect(h.Log.Records("session.close")[0].Str("reason")).To(Equal("error"))
	}, limit)

	DescribeTable("can't send a reply that the protocol doesn't allow",
		func(ctx SpecContext, reply protocol.Reply, failure error, want string) {
			h := serve(func(context.Context, *server.Request) (protocol.Reply, error) { return reply, failure })
			w := h.Connect(ctx).Seated("alice")
			Expect(w.Ask("WORK")).To(HavePrefix(want))
			Expect(w.Ask("NOOP")).To(Equal("250 ok"))
		},
		Entry("a code of its own", protocol.Reply{Code: 221}, nil, "554 failed ", limit),
		Entry("a control character", protocol.Reply{Text: "\x1b[2J"}, nil, "554 failed ", limit),
		Entry("a 552, after which the server would have to close", protocol.Reply{}, &protocol.ReplyError{Code: 552, Keyword: "too-large"}, "554 failed ", limit),
		Entry("a failure of two lines", protocol.Reply{}, server.Refuse("no\nno"), "554 failed ", limit),
		Entry("control: a refusal", protocol.Reply{}, server.Refuse("no"), "550 refused no", limit),
	)
})

var _ = Describe("A server that ends", Label("area:shutdown", "promise:7"), func() {
	bare := func() *server.Server {
		return &server.Server{
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{testserver.Certificate(testserver.ECDSA)}}, Users: testserver.NewUsers(),
		}
	}

	It("can be shut down before, after and instead of serving", func(ctx SpecContext) {
		s := bare()
		Expect(s.Shutdown(ctx)).To(Succeed())
		l, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Serve(l)).To(MatchError(server.ErrServerClosed))
		Expect(s.Shutdown(ctx)).To(Succeed())
		Expect(s.Close()).To(Succeed())
	}, limit)

	It("can be shut down while it begins to serve", func(ctx SpecContext) {
		s, served := bare(), make(chan error, 1)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		go func() { served <- s.Serve(l) }()
		Expect(s.Shutdown(ctx)).To(Succeed())
		Eventually(ctx, served).Should(Receive(MatchError(server.ErrServerClosed)))
	}, limit)

	It("shuts down without an error if no connection is left, though its time is over", func(ctx SpecContext) {
		over, cancel := context.WithCancel(ctx)
		cancel()
		for range 20 {
			Expect(start(nil).Server.Shutdown(over)).To(Succeed())
		}
	}, limit)

	It("does not wait for a handshake that has not begun", func(ctx SpecContext) {
		h := start(func(s *server.Server) { s.Limits.Login = -1 })
		c, err := net.Dial("tcp", h.Addr)
		Expect(err).NotTo(HaveOccurred())
		defer c.Close()
		Expect(h.LoggedIn(ctx, "alice").Quit(ctx)).To(Succeed()) // the server has accepted c before
		Expect(h.Server.Shutdown(ctx)).To(Succeed())
	}, limit)

	It("logs the request of a cancelled handler before it logs its own end", Label("promise:5"), func(ctx SpecContext) {
		entered := make(chan struct{})
		h := start(func(s *server.Server) {
			s.Handler = server.HandlerFunc(func(ctx context.Context, _ *server.Request) (r protocol.Reply, err error) {
				close(entered)
				<-ctx.Done()
				return r, nil
			})
		})
		h.Connect(ctx).Seated("alice").Send("WORK\r\n")
		Eventually(ctx, entered).Should(BeClosed())
		Expect(h.Server.Close()).To(Succeed())
		events := h.Log.Events("")
		Expect(events[len(events)-3:]).To(Equal([]string{"request", "session.close", "server.stop"}))
		Expect(h.Log.Records("session.close")[0].Str("reason")).To(Equal("shutdown"))
	}, limit)

	It("logs the reason shutdown for each client that Close has cut off", func(ctx SpecContext) {
		h := start(nil)
		h.LoggedIn(ctx, "alice")
		h.Queued(ctx, "bob")
		h.Connect(ctx).Greeted()
		Expect(h.Server.Close()).To(Succeed())
		ends := h.Log.Records("session.close", "queue.leave", "conn.close")
		Expect(ends).To(HaveLen(4))
		for _, end := range ends {
			Expect(end.Str("reason")).To(Equal("shutdown"), "%v", end)
		}
	}, limit)

	It("refuses a configuration that it can't serve with", func(SpecContext) {
		for _, s := range []*server.Server{
			{Users: testserver.NewUsers()},
			{TLSConfig: &tls.Config{Certificates: []tls.Certificate{{}}}, Users: testserver.NewUsers()},
			{TLSConfig: bare().TLSConfig},
			{TLSConfig: bare().TLSConfig, Users: testserver.NewUsers(), Name: "two\nlines"},
		} {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			Expect(err).NotTo(HaveOccurred())
			err = s.Serve(l)
			Expect(err).To(HaveOccurred())
			Expect(errors.Is(err, server.ErrServerClosed)).To(BeFalse())
		}
	}, limit)
})
