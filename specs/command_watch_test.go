//go:build !windows

package specs

import (
	"io"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	clientstream "github.com/sallyport/sallyport/client/stream"
	"github.com/sallyport/sallyport/protocol"
)

var _ = Describe("connect --watch", Label("area:command", "area:stream", "area:watch"), func() {
	c := withCLI()

	It("shows what the backend says, without a seat, and sends nothing", Label("promise:1"), func(ctx SpecContext) {
		address, conns := machine()
		s := c.Serve(ctx, "--backend", address, "--console", "--watchers", "1")
		console := kept(ctx, conns)
		say(console, "booting\n")
		bob, in := c.Piped(s.As("connect", "bob", "--watch")...)
		says(ctx, bob, "^booting\n")
		says(ctx, bob.Err, "^watching "+s.addr+"\n")
		say(in, "evil\n")
		Expect(s.Connect(ctx, "alice", "--watch")).To(did(5, "", "sallyport connect: 421 busy 1 watch already, and no more may: try again when one of them has left\n"))

		alice := c.Terminal(s.As("connect", "alice", "--open")...)
		says(ctx, alice, "1 watching\r\n")
		alice.Type(escape + "w")
		says(ctx, alice, "0 waiting, 1 watching\r\n")
		alice.Type("root\r")
		got := make([]byte, len("root\r"))
		_, err := io.ReadFull(console, got)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(got)).To(Equal("root\r"))
		say(console, "# ")
		says(ctx, bob, "^# $")

		say(alice.keys, escape+"q")
		Expect(alice.ExitCode(ctx)).To(Equal(0))
		Expect(console.Close()).To(Succeed())
		says(ctx, bob.Err, "^the backend is down\n")
		console = kept(ctx, conns)
		says(ctx, bob.Err, "^the backend is back\n")
		say(console, "again")
		says(ctx, bob, "^again$", "a watcher stays while the backend is opened again")
		s.Stop(ctx)
		exits(ctx, bob, 1)
		Expect(stderr(bob)).To(HaveSuffix("\nsallyport connect: 421 shutdown the server is shutting down\n"))
		Expect(s.LogText()).To(MatchRegexp(`(?s)"event":"watch.open",[^\n]*"user":"bob".*"event":"watch.close",[^\n]*"bytes_out":15,.*"event":"conn.close",[^\n]*"reason":"shutdown"`))
	}, limit)

	DescribeTable("ends on a terminal, which it restores",
		func(ctx SpecContext, keys, shown string, code int) {
			address, conns := machine()
			s := c.Serve(ctx, "--backend", address, "--console", "--watchers", "1")
			console := kept(ctx, conns)
			bob := c.Terminal(s.As("connect", "bob", "--watch")...)
			says(ctx, bob, "watching "+s.addr+", Ctrl-C ends it\r\n")
			say(console, "half a line") // not before: standard error has no order with the output
			says(ctx, bob, "half a line")
			Expect(bob.Mode()).NotTo(Equal(untouched()), "control: it is raw")
			if keys == "" {
				bob.signal(syscall.SIGTERM)
			}
			bob.Type(keys)
			Expect(bob.ExitCode(ctx)).To(Equal(code))
			Expect(bob.Shown()).To(MatchRegexp("half a line\r\n" + shown + "$"))
			Expect(bob.Mode()).To(Equal(untouched()))
			Eventually(ctx, s.LogText).Should(MatchRegexp(`"event":"conn.close",[^\n]*"reason":"(quit|reset|closed)"`))
		},
		Entry("with Ctrl-C", "typed\r"+ctrlC, "", 0, limit),
		Entry("with Ctrl-] q", escape+"bq"+escape+"q", "(?s)q quit, .*Ctrl-C stops watching too.*", 0, limit),
		Entry("with SIGTERM", "", "sallyport connect: terminated signal received\r\n", 1, limit),
	)

	It("ends when the operator evicts the watcher, and says why", Label("area:control"), func(ctx SpecContext) {
		address, conns := machine()
		s := c.Serve(ctx, "--backend", address, "--console", "--watchers", "2")
		say(kept(ctx, conns), "booting\n")
		var watchers []*gexec.Session
		for _, user := range []string{"alice", "bob"} {
			w, _ := c.Piped(s.As("connect", user, "--watch")...)
			says(ctx, w, "^booting\n")
			watchers = append(watchers, w)
		}
		Expect(s.operate(ctx, "evict", "--user", "bob", "--reason", "no trainees today")).To(did(0, HavePrefix("evicted bob from 127.0.0.1:"), ""))
		exits(ctx, watchers[1], 5)
		Expect(stderr(watchers[1])).To(ContainSubstring("\nsallyport connect: 421 evicted no trainees today (operator "))
		Eventually(ctx, s.LogText).Should(MatchRegexp(`"event":"conn.close",[^\n]*"reason":"evicted"`))
		Expect(watchers[0].ExitCode()).To(Equal(-1), "alice watches on")
	}, limit)

	It("drops a watcher that is too slow, and nobody waits for it", func(ctx SpecContext) {
		const size = 24 << 20 // more than the kernel's buffers and those of both ends hold
		address, conns := machine()
		s := c.Serve(ctx, "--backend", address, "--console", "--watchers", "2", "--backlog", "0")
		console := kept(ctx, conns)
		bob, err := s.dialer().Watch(ctx, s.addr, credentials("bob"))
		Expect(err).NotTo(HaveOccurred())
		defer bob.Close()
		slow := clientstream.Watch(bob)
		alice := s.dial(ctx, "alice")
		stream, err := clientstream.Open(ctx, alice)
		Expect(err).NotTo(HaveOccurred())
		Eventually(ctx, alice.Notices()).Should(Receive(HaveField("Text", "watching 1")))
		go func() {
			_, _ = io.CopyN(console, lines{}, size)
		}()
		Expect(io.CopyN(io.Discard, stream, size)).To(BeEquivalentTo(size))
		Eventually(ctx, alice.Notices()).Should(Receive(HaveField("Text", "watching 0")))
		_, err = io.Copy(io.Discard, slow)
		Expect(err).To(HaveOccurred())
		if reply, ok := err.(*protocol.ReplyError); ok { // else it did not take even that
			Expect(reply.Keyword).To(Equal(protocol.KeywordTooSlow))
		}
		Eventually(ctx, s.LogText).Should(MatchRegexp(`"event":"conn.close",[^\n]*"reason":"too-slow"`))
	}, limit)

	It("says what is wrong", func(ctx SpecContext) {
		address, _ := machine()
		s := c.Serve(ctx, "--backend", address, "--console")
		Expect(s.Connect(ctx, "bob", "--watch")).To(failed(1, "the server lets nobody watch: it must be started with --console --watchers N"))
		for _, args := range []string{"--open", "ECHO x", "--record f", "--body f"} {
			Expect(s.Connect(ctx, "bob", append([]string{"--watch"}, strings.Fields(args)...)...)).To(failed(2, "--watch only shows what the backend says"))
		}
		for flags, why := range map[string]string{
			"--watchers 1":                       "--watchers goes with --console",
			"--backend exec:cat --watchers 1":    "--watchers goes with --console",
			"--backend exec:cat --watchers -1":   "--watchers is from 0 to 256",
			"--backend exec:cat --watchers 9999": "--watchers is from 0 to 256",
		} {
			Expect(c.Run(ctx, "", append([]string{"serve"}, strings.Fields(flags)...)...)).To(failed(2, why), flags)
		}
	}, limit)
})

// lines is a source of lines without end.
type lines struct{}

func (lines) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "\nx"[min(i%64, 1)]
	}
	return len(p), nil
}
