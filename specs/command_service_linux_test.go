package specs

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

var _ = Describe("The command serve, as a service of systemd", Label("area:command", "command:service"), func() {
	c := withCLI()

	It("notifies systemd of who has the seat, of a reload and of its end", func(ctx SpecContext) {
		m := c.manage(ctx)
		s := m.Service(ctx)
		alice, in := s.Seated(ctx, "alice")
		Expect(m.Note(ctx)).To(Equal("STATUS=alice has the seat"))
		bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
		Expect(m.Note(ctx)).To(Equal("STATUS=alice has the seat, 1 waiting"))
		Expect(in.Close()).To(Succeed())
		exits(ctx, alice, 0)
		exits(ctx, bob, 0)

		s.Signal(syscall.SIGHUP)
		note := m.Note(ctx)
		for strings.HasPrefix(note, "STATUS=") { // those of alice's end and of bob's session
			note = m.Note(ctx)
		}
		Expect(note).To(MatchRegexp(`^RELOADING=1\nMONOTONIC_USEC=[1-9]\d*\n$`))
		Expect(m.Note(ctx)).To(Equal("READY=1\nSTATUS=The seat is free"))
		Expect(os.Remove(filepath.Join(s.state, "key.pem"))).To(Succeed())
		s.Signal(syscall.SIGHUP)
		Expect(m.Note(ctx)).To(HavePrefix("RELOADING=1\n"))
		Expect(m.Note(ctx)).To(Equal("READY=1\nSTATUS=A reload failed; what failed stays as it was"))
		s.Terminate()
		Expect(m.Note(ctx)).To(Equal("STOPPING=1\nSTATUS=Shutting down"))
		exits(ctx, s.Session, 0)
	}, limit)

	It("is not ready before it listens", func(ctx SpecContext) {
		m := c.manage(ctx)
		s := c.With(m.env...).Start("serve", "--listen", m.addr) // it is in use
		exits(ctx, s, 1)
		Expect(stderr(s)).To(ContainSubstring(m.addr + " is in use"))
		Expect(m.notes.SetReadDeadline(past)).To(Succeed())
		_, err := m.notes.Read(make([]byte, 1))
		Expect(err).To(MatchError(os.ErrDeadlineExceeded), "what it has sent is there already")
	}, limit)

	It("works without a reader of its notifications", func(ctx SpecContext) {
		m := c.manage(ctx)
		Expect(m.notes.Close()).To(Succeed())
		s := &service{Session: m.Start(), cli: c, state: c.Path("state"), addr: m.addr}
		Expect(s.Connect(ctx, "alice", "ECHO", "hello")).To(gexec.Exit(0))
		s.Stop(ctx)
		Expect(stderr(s.Session)).To(ContainSubstring("systemd can't be informed"))
	}, limit)

	It("loses no login over restarts: each succeeds at once, or after a 421 shutdown", Label("promise:7"), func(spec SpecContext) {
		const logins, restarts, clients = 1000, 10, 8
		ctx, fail := context.WithCancelCause(spec)
		defer fail(nil)
		m := c.manage(spec)
		roots, err := dialerOf(c.Read("state/ca.pem"))
		Expect(err).NotTo(HaveOccurred())
		s := m.Service(spec, "--queue-per-user", "16")
		var tries, done atomic.Int64
		var group sync.WaitGroup
		for range clients {
			group.Go(func() {
				for tries.Add(1) <= logins && ctx.Err() == nil {
					if err := loginThroughRestarts(ctx, roots, m.addr); err != nil {
						fail(err)
						return
					}
					done.Add(1)
				}
			})
		}
		for i := range int64(restarts) {
			Eventually(spec, func() int64 {
				if err := context.Cause(ctx); err != nil {
					StopTrying("a login was lost").Wrap(err).Now()
				}
				return done.Load()
			}).Should(BeNumerically(">=", (i+1)*logins/(restarts+1)))
			exits(spec, s.Terminate(), 0)
			s.Session = m.Start("--queue-per-user", "16")
		}
		group.Wait()
		Expect(context.Cause(ctx)).NotTo(HaveOccurred())
		Expect(done.Load()).To(BeEquivalentTo(logins))
		s.Stop(spec)
	}, SpecTimeout(5*time.Minute)) // a thousand logins, with the race detector at both ends

	DescribeTable("refuses a socket that it can't serve", func(ctx SpecContext, why string, change func(*manager), args ...string) {
		m := c.manage(ctx)
		change(m)
		s := m.Start(append(args, "--check")...)
		exits(ctx, s, 2)
		Expect(stderr(s)).To(ContainSubstring(why))
	},
		Entry("beside another address", "--listen is another address, 127.0.0.1:0", func(*manager) {}, "--listen", "127.0.0.1:0", limit),
		Entry("of another kind", "no TCP socket", func(m *manager) {
			l, err := net.Listen("unix", m.cli.Path("sock"))
			Expect(err).NotTo(HaveOccurred())
			file, err := l.(*net.UnixListener).File()
			Expect(errors.Join(err, m.socket.Close())).NotTo(HaveOccurred())
			m.socket = file
			DeferCleanup(l.Close)
		}, limit),
		Entry("that doesn't listen", "does not listen", func(m *manager) {
			file, err := os.Open(os.DevNull)
			Expect(errors.Join(err, m.socket.Close())).NotTo(HaveOccurred())
			m.socket = file
		}, limit),
	)

	It("names the missing socket", func(ctx SpecContext) {
		s := c.Run(ctx, "", "serve", "--listen", "systemd")
		Expect(s).To(gexec.Exit(2))
		Expect(stderr(s)).To(ContainSubstring("systemd passes no socket"))
	}, limit)

	It("keeps state and logs in the directories of systemd", func(ctx SpecContext) {
		m := c.manage(ctx)
		logs := c.Path("logs")
		m.env = append(m.env, "LOGS_DIRECTORY="+logs+":/nowhere")
		s := m.Service(ctx, "--listen", "systemd")
		Expect(s.Connect(ctx, "alice", "ECHO", "hello")).To(gexec.Exit(0))
		s.Stop(ctx)
		Expect(c.Read("logs/audit.jsonl")).To(ContainSubstring(`"event":"session.open"`))
		Expect(s.LogText()).NotTo(ContainSubstring(`"event":"session.open"`))
	}, limit)

	It("serves the certificate of its credentials", func(ctx SpecContext) {
		m := c.manage(ctx)
		Expect(c.Run(ctx, "", "cert", "new", "--state", "other", "--host", "rig.example.org")).To(gexec.Exit(0))
		m.env = append(m.env, "CREDENTIALS_DIRECTORY="+c.Path("other"))
		s := m.Service(ctx)
		Expect(s.Connect(ctx, "alice", "ECHO", "hello")).To(gexec.Exit(3), "control: of another CA")
		Expect(s.Connect(ctx, "alice", "--ca", c.Path("other/ca.pem"), "ECHO", "hello")).To(gexec.Exit(0))
		s.Stop(ctx)
		Expect(os.Remove(c.Path("other/key.pem"))).To(Succeed())
		half := m.Start("--check")
		exits(ctx, half, 2)
		Expect(stderr(half)).To(ContainSubstring("cert.pem and key.pem go together"))
	}, limit)

	It("names --state where there is no home", func(ctx SpecContext) {
		none := *c
		none.env = []string{"PATH=" + os.Getenv("PATH")}
		s := none.Run(ctx, "", "user", "list")
		Expect(s).To(gexec.Exit(1))
		Expect(stderr(s)).To(MatchRegexp(`HOME .*--state DIRECTORY`))
	}, limit)
})

// loginThroughRestarts logs in and leaves. It tries again after a 421 shutdown, and only then.
func loginThroughRestarts(ctx context.Context, d *client.Dialer, addr string) error {
	for {
		err := loginOnce(ctx, d, addr)
		reply, ok := errors.AsType[*protocol.ReplyError](err)
		if !ok || reply.Code != protocol.CodeClosing || reply.Keyword != protocol.KeywordShutdown {
			return err
		}
	}
}

func loginOnce(ctx context.Context, d *client.Dialer, addr string) error {
	conn, err := d.Dial(ctx, addr, testserver.Credentials("alice"))
	if err != nil {
		return err
	}
	defer conn.Close()
	reply, err := conn.Do(ctx, protocol.Request{Verb: "ECHO", Argument: "hello"})
	if err != nil {
		return err
	}
	if !strings.HasPrefix(reply.Text, "hello") {
		return errors.New("another reply: " + reply.Text)
	}
	return conn.Quit(ctx)
}
