package specs

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	operator "github.com/sallyport/sallyport/server/control"
)

// me returns what the log calls the user who runs the specs.
func me() string {
	GinkgoHelper()
	u, err := user.Current()
	Expect(err).NotTo(HaveOccurred())
	return u.Username
}

// operate runs a command of the operator on the server's state directory.
func (s *service) operate(ctx SpecContext, command string, flags ...string) *gexec.Session {
	GinkgoHelper()
	return s.cli.Run(ctx, "", append([]string{command, "--state", s.state}, flags...)...)
}

var _ = Describe("The command status", Label("area:command", "area:control"), func() {
	c := withCLI()
	s := c.withServer()

	look := func(ctx SpecContext) (seen operator.Status) {
		GinkgoHelper()
		run := s.operate(ctx, "status", "--json")
		Expect(json.Unmarshal([]byte(stdout(run)), &seen)).To(Succeed())
		if seen.Holder == nil {
			Expect(run).To(gexec.Exit(0))
		} else {
			Expect(run).To(gexec.Exit(5))
		}
		return seen
	}

	It("says that the seat is free, with code 0", func(ctx SpecContext) {
		Expect(s.operate(ctx, "status")).To(did(0, MatchRegexp(`^seat +free\nwaiting +none\n`), ""))
		seen := look(ctx)
		Expect(seen.Holder).To(BeNil())
		Expect(seen.Listen).To(Equal(s.addr))
		Expect(seen.PID).To(Equal(s.Command.Process.Pid))
		Expect(seen.Log.Path).To(Equal(s.Log()))
		Expect(seen.Log.Size).To(BeEquivalentTo(len(s.LogText())))
		Expect(seen.Certificate.Days).To(BeNumerically(">", 300))
		Expect(seen.Limits).To(Equal(operator.Limits{
			Idle: 900, Request: 300, QueueWait: 1020, QueueDepth: 16, QueuePerUser: 2, Lobby: 256, LobbyPerSource: 16,
			Body: 1 << 20, ShutdownGrace: 10,
		}))
		Expect(s.Stop(ctx)).NotTo(Equal(seen.Log.Head), "the stop is on record")
	}, limit)

	It("says who has the seat and who waits, with code 5", func(ctx SpecContext) {
		_, in := s.Seated(ctx, "alice")
		say(in, "ECHO again\n")
		s.Waiting(ctx, "bob", "alice", "WHOAMI")
		page := s.operate(ctx, "status")
		Expect(page).To(did(5, MatchRegexp(`^seat +taken by alice, from 127\.0\.0\.1:\d+, since [0-9:]+,( |\n +)for \d+ s\n`+
			` +nothing runs, idle for \d+ s, 2 requests, connection \S+\nwaiting +1  bob  from 127\.0\.0\.1:\d+ +for \d+ s  \S+\n`), ""))
		for line := range strings.Lines(stdout(page)) {
			Expect(len(strings.TrimSuffix(line, "\n"))).To(BeNumerically("<=", 80), line)
		}
		seen := look(ctx)
		Expect(seen.Holder.User).To(Equal("alice"))
		Expect(seen.QueueLength).To(Equal(1))
		Expect(seen.Waiting[0].User).To(Equal("bob"))
		Expect(s.LogText()).To(ContainSubstring(`"conn":"` + seen.Waiting[0].Conn + `"`))
	}, limit)

	It("ends with code 3 where no server runs, also if a dead one has left its socket", func(ctx SpecContext) {
		const none = `no server answers on \S+/control\.sock: [^:]+: does a server run on this state directory\?`
		Expect(c.Run(ctx, "", "status", "--state", "elsewhere")).To(failed(3, none))
		exits(ctx, s.Kill(), 137)
		Expect(filepath.Join(s.state, "control.sock")).To(BeAnExistingFile(), "control: it is left")
		for _, command := range []string{"status", "evict", "reload", "stop"} {
			Expect(s.operate(ctx, command)).To(failed(3, none))
		}
		again := c.ServeOn(ctx, s.state)
		Expect(again.operate(ctx, "status")).To(gexec.Exit(0))
		again.Stop(ctx)
		Expect(filepath.Join(s.state, "control.sock")).NotTo(BeAnExistingFile())
	}, limit)

	It("asks on a socket that only the server's user can open", func(SpecContext) {
		Expect(mode(filepath.Join(s.state, "control.sock"))).To(Equal(fs.ModeSocket | 0o600))
	}, limit)

	It("asks from elsewhere with a login, also while the queue is full", func(ctx SpecContext) {
		Expect(c.Run(ctx, "", s.As("status", "bob")...)).To(did(0, MatchRegexp(`^seat +free\nwaiting +0\nserver +up \d+ s, 0 sessions so far\n$`), ""))
		s.Seated(ctx, "alice")
		for range 2 {
			c.Start(s.As("connect", "bob", "WHOAMI")...)
		}
		Eventually(ctx, func() int { return look(ctx).QueueLength }).Should(Equal(2))
		Expect(s.Connect(ctx, "bob", "WHOAMI")).To(failed(5, "421 busy "), "control: bob's places are taken")
		Expect(c.Run(ctx, "", s.As("status", "bob")...)).To(did(5, MatchRegexp(`^seat +taken by alice, since [0-9:]+, idle for \d+ s\nwaiting +2\n`), ""))
		object := c.Run(ctx, "", s.As("status", "bob", "--json")...)
		Expect(object).To(did(5, MatchRegexp(`(?s)"user": "alice",.*"idle": \d+\n.*"queue_length": 2,`), ""))
		c.Write("bob.pw", "wrong\n")
		Expect(c.Run(ctx, "", s.As("status", "bob")...)).To(failed(4, "535 login-failed "))
	}, limit)

	It("says which flags go together", func(ctx SpecContext) {
		Expect(s.operate(ctx, "status", "--user", "alice")).To(failed(2, "--user goes with --addr"))
		elsewhere := c.With("SALLYPORT_ADDR="+unusedAddr, "SALLYPORT_HOST=nosuch")
		Expect(elsewhere.Run(ctx, "", "status", "--state", s.state)).To(did(0, HavePrefix("seat "), ""), "a variable makes it no remote one")
		Expect(c.With("SALLYPORT_USER=alice").Run(ctx, "", "status", "--state", s.state)).To(gexec.Exit(0))
		Expect(c.Run(ctx, "", s.As("status", "alice", "--watch")...)).To(failed(2, "--watch is for a server on this machine"))
	}, limit)

	It("writes a line for each change with --watch, and goes on when the server comes back", func(ctx SpecContext) {
		watch := c.Start("status", "--state", s.state, "--watch")
		says(ctx, watch, `^\d\d:\d\d:\d\d the seat is free\n$`)
		_, in := s.Seated(ctx, "alice")
		says(ctx, watch, `^[0-9:]+ alice sits down \(from 127\.0\.0\.1:\d+\)\n$`)
		bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
		says(ctx, watch, `^[0-9:]+ bob waits \(from 127\.0\.0\.1:\d+, position 1\)\n$`)
		bob.Interrupt()
		says(ctx, watch, `^[0-9:]+ bob waits no more\n$`)
		Expect(in.Close()).To(Succeed())
		says(ctx, watch, `^[0-9:]+ alice leaves\n$`)
		s.Stop(ctx)
		says(ctx, watch, `no server answers on `)
		c.ServeOn(ctx, s.state)
		says(ctx, watch, `^[^\n]*\n[0-9:]+ the seat is free\n$`)
		exits(ctx, watch.Interrupt(), 0)
	}, limit)
})

var _ = Describe("The command evict", Label("area:command", "area:control", "promise:6"), func() {
	c := withCLI()
	s := c.withServer("--backend", "exec:cat")

	// evicted is what a client hears.
	evicted := func(command, reason string) string {
		return `^sallyport ` + command + `: (the seat was lost: )?421 evicted ` + reason + ` \(operator ` + regexp.QuoteMeta(me()) + `\)\n$`
	}

	It("makes the holder leave, which hears by whom and why", func(ctx SpecContext) {
		alice, _ := s.Seated(ctx, "alice")
		Expect(s.operate(ctx, "evict", "--reason", "the rig is needed")).To(did(0, MatchRegexp(`^evicted alice from 127\.0\.0\.1:\d+, connection \S+\n$`), ""))
		exits(ctx, alice, 5)
		Expect(stderr(alice)).To(MatchRegexp(evicted("connect", "the rig is needed")))
		Eventually(s.LogText).WithContext(ctx).Should(And(
			MatchRegexp(`"event":"operator","deed":"evict","by":"`+regexp.QuoteMeta(me())+`","whom":"\S+"`),
			MatchRegexp(`"event":"session.close".*"reason":"evicted".*"by":"`+regexp.QuoteMeta(me())+`"`)))
		Expect(s.Connect(ctx, "bob", "WHOAMI")).To(printed("bob\n"))
	}, limit)

	It("makes a hold end its command, and a stream end", func(ctx SpecContext) {
		alice, _ := c.Piped(s.As("hold", "alice", "--", "sh", "-c", "echo started; exec sleep 1000")...)
		says(ctx, alice, "started\n")
		Expect(s.operate(ctx, "evict")).To(gexec.Exit(0))
		exits(ctx, alice, 5)
		Expect(stderr(alice)).To(MatchRegexp(evicted("hold", "the operator ended the session")))
		bob, in := c.Piped(s.As("connect", "bob", "--open")...)
		say(in, "hello\n")
		says(ctx, bob, "hello\n")
		Expect(s.operate(ctx, "evict", "--user", "bob")).To(gexec.Exit(0))
		exits(ctx, bob, 5)
		Expect(stderr(bob)).To(MatchRegexp(evicted("connect", "the operator ended the session")))
	}, limit)

	It("makes a client that waits leave, by its user or its connection", func(ctx SpecContext) {
		_, in := s.Seated(ctx, "alice")
		for _, choose := range []func() []string{
			func() []string { return []string{"--user", "bob"} },
			func() []string {
				enter := regexp.MustCompile(`"event":"queue.enter","conn":"(\S+?)"`).FindAllStringSubmatch(s.LogText(), -1)
				return []string{"--conn", enter[len(enter)-1][1]}
			},
		} {
			bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
			Expect(s.operate(ctx, "evict", choose()...)).To(did(0, HavePrefix("evicted bob "), ""))
			exits(ctx, bob, 5)
			Expect(stderr(bob)).To(ContainSubstring("421 evicted the operator ended the session (operator "))
		}
		say(in, "ECHO still here\n")
		Expect(in.Close()).To(Succeed())
	}, limit)

	It("says if there is nobody to evict, or the reason is no line", func(ctx SpecContext) {
		Expect(s.operate(ctx, "evict")).To(failed(1, "the seat is free"))
		s.Seated(ctx, "alice")
		Expect(s.operate(ctx, "evict", "--user", "bob")).To(failed(1, "no client of the user bob has the seat, waits for it or watches"))
		Expect(s.operate(ctx, "evict", "--reason", "two\nlines")).To(failed(1, "the reason is one line"))
		Expect(s.operate(ctx, "status")).To(gexec.Exit(5), "alice has the seat")
	}, limit)
})

var _ = Describe("The commands reload and stop", Label("area:command", "area:control", "promise:7"), func() {
	c := withCLI()
	s := c.withServer()

	It("reload the certificate, the users and the log, and say what failed", func(ctx SpecContext) {
		Expect(os.Rename(s.Log(), s.Log()+".1")).To(Succeed())
		Expect(s.operate(ctx, "reload")).To(printed("reloaded certificate, users and log file\n"))
		Expect(s.LogText()).To(ContainSubstring(`"event":"server.reload","ok":true`))
		Expect(c.Read("state/audit.jsonl.1") + s.LogText()).To(ContainSubstring(`"event":"operator","deed":"reload","by":"` + me() + `"`))
		c.Write("state/users", c.Read("state/users")+"garbage\n")
		Expect(s.operate(ctx, "reload")).To(failed(1, `reloaded, except for faulty lines of the users \(1\): \S+users:3: the line is ignored: no colon follows the name`))
		Expect(s.Connect(ctx, "alice", "WHOAMI")).To(printed("alice\n"))
		c.Write("state/cert.pem", "nonsense")
		Expect(s.operate(ctx, "reload")).To(failed(1, "cert.pem"))
	}, limit)

	It("stop the server, and wait for its end", func(ctx SpecContext) {
		alice, _ := s.Seated(ctx, "alice")
		Expect(s.operate(ctx, "stop")).To(printed("stopped\n"))
		exits(ctx, s.Session, 0)
		exits(ctx, alice, 1)
		Expect(stderr(alice)).To(ContainSubstring("421 shutdown "))
		Expect(s.LogText()).To(ContainSubstring(`"event":"operator","deed":"stop","by":"` + me() + `"`))
		c.ServeOn(ctx, s.state)
	}, limit)
})

var _ = Describe("The lines of serve", Label("area:command", "area:control"), func() {
	c := withCLI()

	It("say who sits down, waits and leaves", func(ctx SpecContext) {
		s := c.Serve(ctx, "--quiet=false")
		alice, in := s.Seated(ctx, "alice")
		says(ctx, s.Err, `(?m)^\d\d:\d\d:\d\d alice sits down \(from 127\.0\.0\.1:\d+\)$`)
		bob := s.Waiting(ctx, "bob", "alice")
		says(ctx, s.Err, `(?m)^[0-9:]+ bob waits \(from 127\.0\.0\.1:\d+, position 1\)$`)
		bob.Signal(syscall.SIGTERM)
		says(ctx, s.Err, `(?m)^[0-9:]+ bob waits no more \(\w+\)$`)
		Expect(in.Close()).To(Succeed())
		exits(ctx, alice, 0)
		says(ctx, s.Err, `(?m)^[0-9:]+ alice leaves \(quit, after \d+ s, \d+ requests\)$`)
	}, limit)

	It("are not printed to a pipe", func(ctx SpecContext) {
		s := c.Serve(ctx)
		Expect(s.Connect(ctx, "alice", "WHOAMI")).To(printed("alice\n"))
		s.Stop(ctx)
		Expect(stderr(s.Session)).NotTo(ContainSubstring("sits down"))
	}, limit)
})
