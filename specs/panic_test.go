package specs

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/specs/harness"
)

// panickingUsers panic at the lookup of mallory, at the first or at a later one.
type panickingUsers struct {
	server.Users
	calls *atomic.Int32
	at    int32
}

func (u panickingUsers) Lookup(name string) (scram.Verifier, bool, error) {
	if name == "mallory" && u.calls.Add(1) == u.at {
		panic("the users panic")
	}
	return u.Users.Lookup(name)
}

// panicking is a connection with methods that panic.
type panicking struct {
	net.Conn
	read, write, closing bool
}

func (c panicking) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.read {
		panic("a read panics")
	}
	return n, err
}

func (c panicking) Write(p []byte) (int, error) {
	if c.write {
		panic("a write panics")
	}
	return c.Conn.Write(p)
}

func (c panicking) CloseWrite() error { panic("an end of one direction panics") }

func (c panicking) Close() error {
	_ = c.Conn.Close()
	if c.closing {
		panic("a close panics")
	}
	return nil
}

// armed is a listener whose first connection panics: in each Read after read is true, and in each Write and Close
// after write is true.
type armed struct {
	net.Listener
	read, write *atomic.Bool
	accepted    atomic.Bool
}

func (l *armed) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if !l.accepted.CompareAndSwap(false, true) {
		return c, err
	}
	return &armedConn{c, l}, err
}

type armedConn struct {
	net.Conn
	l *armed
}

func (c *armedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.l.read.Load() {
		panic("the client's connection panics")
	}
	return n, err
}

func (c *armedConn) Write(p []byte) (int, error) {
	if c.l.write.Load() {
		panic("the client's connection panics")
	}
	return c.Conn.Write(p)
}

func (c *armedConn) Close() error {
	_ = c.Conn.Close()
	if c.l.write.Load() {
		panic("the client's connection panics")
	}
	return nil
}

// panickingLog is the writer of a log, and the handler of the server's messages. Both panic once armed is true.
type panickingLog struct {
	slog.Handler
	out   *testserver.Log
	armed *atomic.Bool
}

func (l panickingLog) Write(p []byte) (int, error) {
	if l.armed.Load() {
		panic("a log panics")
	}
	return l.out.Write(p)
}

func (l panickingLog) Handle(ctx context.Context, r slog.Record) error {
	if l.armed.Load() {
		panic("a log panics")
	}
	return l.Handler.Handle(ctx, r)
}

var _ = Describe("A panic in code of others", Label("area:panic", "promise:6"), func() {
	// ended waits for the record of the end, and demands its reason and that the operator was told. Then another
	// client is served: there is one place in the lobby.
	ended := func(ctx SpecContext, h *harness.H, said *gbytes.Buffer, event, reason, what string) {
		GinkgoHelper()
		Eventually(ctx, func() []testserver.Record { return h.Log.Records(event) }).Should(HaveLen(1))
		Expect(h.Log.Records(event)[0].Str("reason")).To(Equal(reason))
		Expect(said).To(gbytes.Say(`msg=panic .*panic="` + what + `" stack=`))
		Eventually(ctx, func() error {
			c, err := h.Dialer().Dial(ctx, h.Addr, testserver.Credentials("bob"))
			if err == nil {
				err = c.Quit(ctx)
			}
			return err
		}).Should(Succeed())
	}
	started := func(said *gbytes.Buffer, configure func(*server.Server)) *harness.H {
		return start(func(s *server.Server) {
			s.ErrorLog = slog.New(slog.NewTextHandler(said, nil))
			s.Limits.LobbyPerSource = 1
			configure(s)
		})
	}

	DescribeTable("ends a login and frees its place in the lobby", func(ctx SpecContext, at int) {
		said := gbytes.NewBuffer()
		h := started(said, func(s *server.Server) {
			s.Users = panickingUsers{s.Users, new(atomic.Int32), int32(at)}
		})
		w := h.Connect(ctx).Greeted()
		line := w.Ask(auth("SCRAM-SHA-256", "n,,n=mallory,r=nonce"))
		if at > 1 {
			line = w.Ask(w.WrongProof(line))
		}
		Expect(line).To(Equal("EOF"))
		Expect(w.Close()).To(Succeed())
		ended(ctx, h, said, "conn.close", "panic", "the users panic")
	},
		Entry("at the name", 1, limit),
		Entry("at the record of a login that failed", 2, limit),
	)

	DescribeTable("ends a stream and frees the seat", func(ctx SpecContext, how panicking, reason, what string) {
		said := gbytes.NewBuffer()
		ours, theirs := net.Pipe()
		DeferCleanup(ours.Close)
		how.Conn = theirs
		h := started(said, func(s *server.Server) {
			s.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) { return how, nil }
		})
		alice := h.Connect(ctx).Seated("alice")
		Expect(alice.Ask("OPEN")).To(Equal("252 open"))
		switch {
		case how.read:
			Expect(ours.Write([]byte("x"))).To(Equal(1))
		case how.write:
			alice.Send("x")
		case how.closing:
			Expect(alice.TCP.Close()).To(Succeed())
		default:
			Expect(alice.CloseWrite()).To(Succeed())
		}
		ended(ctx, h, said, "session.close", reason, what)
	},
		Entry("in a read of the backend", panicking{read: true}, "panic", "a read panics", limit),
		Entry("in a write of the backend", panicking{write: true}, "panic", "a write panics", limit),
		Entry("in the half-close of the backend", panicking{}, "panic", "an end of one direction panics", limit),
		Entry("in the close of the backend", panicking{closing: true}, "cut", "a close panics", limit),
	)

	DescribeTable("ends the session of a client", func(ctx SpecContext, read, write bool) {
		said, l := gbytes.NewBuffer(), &armed{read: new(atomic.Bool), write: new(atomic.Bool)}
		running, cancelled := make(chan struct{}), make(chan struct{})
		h := harness.StartOn(GinkgoTB(), func(s *server.Server) {
			s.ErrorLog = slog.New(slog.NewTextHandler(said, nil))
			s.Handler = server.HandlerFunc(func(ctx context.Context, r *server.Request) (reply protocol.Reply, err error) {
				if l.read.Store(read); r.Verb == "WAIT" {
					l.write.Store(write)
					close(running)
					<-ctx.Done()
					close(cancelled)
				}
				return reply, nil
			})
		}, func(inner net.Listener) net.Listener { l.Listener = inner; return l })
		alice := h.Connect(ctx).Seated("alice")
		alice.Send("WORK\r\nWAIT\r\n")
		Eventually(ctx, running).Should(BeClosed())
		alice.Send("NOOP\r\n")
		Eventually(ctx, cancelled).Should(BeClosed())
		ended(ctx, h, said, "session.close", "panic", "the client's connection panics")
	},
		Entry("whose connection panics in the reads of the watch", true, false, limit),
		Entry("whose connection panics in the writes of the watch", false, true, limit),
	)

	DescribeTable("ends a connection at its last reply", func(ctx SpecContext, seated bool, event string) {
		said, l := gbytes.NewBuffer(), &armed{read: new(atomic.Bool), write: new(atomic.Bool)}
		h := harness.StartOn(GinkgoTB(), func(s *server.Server) {
			s.ErrorLog = slog.New(slog.NewTextHandler(said, nil))
		}, func(inner net.Listener) net.Listener { l.Listener = inner; return l })
		alice := h.Connect(ctx)
		if seated {
			alice.Seated("alice")
		} else {
			alice.Greeted()
		}
		l.write.Store(true)
		alice.Send("QUIT\r\n")
		ended(ctx, h, said, event, "quit", "the client's connection panics")
	},
		Entry("of a session", true, "session.close", limit),
		Entry("in the lobby", false, "conn.close", limit),
	)

	It("of the log's writer is a log that can't be written", func(ctx SpecContext) {
		said, armed := gbytes.NewBuffer(), new(atomic.Bool)
		h := started(said, func(s *server.Server) {
			s.Audit = audit.New(panickingLog{out: new(testserver.Log), armed: armed}, audit.Options{})
		})
		alice := h.Connect(ctx).Seated("alice")
		armed.Store(true)
		Expect(alice.Ask("ECHO x")).To(HavePrefix("421 log-failed "))
		Expect(said).To(gbytes.Say("the interaction log can't be written.*a log panics.*panickingLog"))
		Expect(h.Connect(ctx).Line()).To(HavePrefix("421 log-failed "))
		armed.Store(false)
		Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
	}, limit)

	It("of ErrorLog loses what it should have said, and ends no more than the first panic", func(ctx SpecContext) {
		said, armed := gbytes.NewBuffer(), new(atomic.Bool)
		h := started(said, func(s *server.Server) {
			s.ErrorLog = slog.New(panickingLog{Handler: slog.NewTextHandler(said, nil), armed: armed})
			s.Users = panickingUsers{s.Users, new(atomic.Int32), 1}
		})
		armed.Store(true)
		Expect(h.Connect(ctx).Greeted().Ask(auth("SCRAM-SHA-256", "n,,n=mallory,r=nonce"))).To(Equal("EOF"))
		Eventually(ctx, func() []testserver.Record { return h.Log.Records("conn.close") }).Should(HaveLen(1))
		Expect(h.LoggedIn(ctx, "bob").Quit(ctx)).To(Succeed())
	}, limit)

	It("is a failed request if a backend panics while it connects, and the session goes on", func(ctx SpecContext) {
		said := gbytes.NewBuffer()
		h := started(said, func(s *server.Server) {
			s.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) { panic("no backend") }
		})
		alice := h.Connect(ctx).Seated("alice")
		Expect(alice.Ask("OPEN")).To(HavePrefix("554 failed "))
		Expect(alice.Ask("NOOP")).To(Equal("250 ok"))
		Expect(h.Log.Records("handler.panic")).To(HaveLen(1))
	}, limit)
})
