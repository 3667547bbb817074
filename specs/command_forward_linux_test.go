package specs

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/specs/harness"
)

// overForward is a script of bash that sends lines over a connection of its own and prints the answers.
func overForward(lines ...string) string {
	script := `exec 3<>"/dev/tcp/127.0.0.1/${SALLYPORT_FORWARD##*:}"; `
	for _, line := range lines {
		script += "echo " + line + ` >&3; read -r answer <&3; echo "$answer"; `
	}
	return script + "exec 3>&-; "
}

var _ = Describe("The command hold with --forward", Label("area:command", "area:hold", "area:forward", "promise:6"), func() {
	c := withCLI()
	var s *service
	var r *rig
	var bash string
	BeforeEach(func(ctx SpecContext) {
		bash, r = harness.Tool("bash"), newRig()
		s = c.Serve(ctx, "--backend", "tcp:"+r.addr, "--idle-timeout", "9s", "--admission", "queue")
	}, limitOfNode)
	// holds returns the arguments of a hold that runs a script of bash.
	holds := func(user, script string) []string {
		return append(s.As("hold", user, "--forward", "0"), "--", bash, "-c", script)
	}

	It("gives each command in turn a port to the backend, as often as it likes", func(ctx SpecContext) {
		script := overForward("one", "two") + overForward("three") + "echo hold $SALLYPORT_FORWARD"
		want := `^ok one\nok two\nok three\nhold 127\.0\.0\.1:\d+\n$`
		var all []*gexec.Session
		for range 2 {
			all = append(all, c.Start(holds("alice", script)...), c.Start(holds("bob", script)...))
		}
		for _, h := range all {
			exits(ctx, h, 0)
			Expect(stdout(h)).To(MatchRegexp(want))
			Expect(stderr(h)).To(MatchRegexp(`^forwarding 127\.0\.0\.1:\d+\n(waiting: [^\n]*\n)*$`))
		}
		Expect(strings.Count(s.LogText(), `"event":"stream.open"`)).To(Equal(8))
		Expect(strings.Count(s.LogText(), `"event":"session.open"`)).To(Equal(4))
	}, limit)

	It("delivers what a command has sent that ends at once", func(ctx SpecContext) {
		script := ""
		for _, line := range []string{"slow", "set", "set", "set", "set"} {
			script += "echo " + line + ` >"/dev/tcp/127.0.0.1/${SALLYPORT_FORWARD##*:}"; `
		}
		Expect(c.Run(ctx, "", holds("alice", script+"exit 7")...)).To(gexec.Exit(7))
		Expect(r.heard.Load()).To(BeEquivalentTo(5))
	}, limit)

	It("keeps the seat though nothing goes through the port", Label("slow"), func(ctx SpecContext) {
		h, in := c.Piped(holds("alice", overForward("one")+`exec 3<>"/dev/tcp/127.0.0.1/${SALLYPORT_FORWARD##*:}"; read -r line; echo two >&3; read -r answer <&3; echo "$answer"`)...)
		says(ctx, h, "ok one\n")
		bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
		Consistently(ctx, bob, "11s").ShouldNot(gexec.Exit())
		say(in, "\n")
		says(ctx, h, "ok two\n")
		exits(ctx, h, 0)
		exits(ctx, bob, 0)
	}, limit)

	It("ends its command when the seat is lost, after the connection was reset", func(ctx SpecContext) {
		h, _ := c.Piped(holds("alice", overForward("one")+
			`exec 3<>"/dev/tcp/127.0.0.1/${SALLYPORT_FORWARD##*:}"; echo two >&3; trap '' TERM; cat <&3 2>&1; echo done; sleep 100`)...)
		says(ctx, h, "ok two\n")
		s.Kill()
		says(ctx, h, "Connection reset by peer\ndone\n")
		exits(ctx, h, 5)
		Expect(stderr(h)).To(MatchRegexp(`\nsallyport hold: the seat was lost: [^\n]*\n$`))
	}, limit)

	It("leaves the seat to the next when it is killed", func(ctx SpecContext) {
		h, _ := c.Piped(holds("alice", overForward("one")+overForward("two")+"read -r line")...)
		says(ctx, h, "ok two\n")
		bob := c.Start(holds("bob", overForward("three"))...)
		says(ctx, bob.Err, "waiting: position 1 holder alice\n")
		h.Kill()
		exits(ctx, bob, 0)
		Expect(stdout(bob)).To(Equal("ok three\n"))
	}, limit)

	It("goes on when the backend breaks in a connection", func(ctx SpecContext) {
		h := c.Run(ctx, "", holds("alice", `exec 3<>"/dev/tcp/127.0.0.1/${SALLYPORT_FORWARD##*:}"; echo crash >&3; cat <&3 2>&1; `+overForward("one"))...)
		Expect(h).To(did(0, MatchRegexp(`Connection reset by peer\nok one\n$`), MatchRegexp(`^forwarding [^\n]*\nended: the backend broke\n$`)))
	}, limit)

	It("does not start its command without a backend", func(ctx SpecContext) {
		other := newCLI().Serve(ctx)
		h := c.Run(ctx, "", append(other.As("hold", "alice", "--forward", "0"), "--", "touch", "ran")...)
		Expect(h).To(did(1, "", MatchRegexp(`^forwarding [^\n]*\nsallyport hold: this server has no --backend, or is too old for forward: [^\n]*\n$`)))
		Expect(c.Path("ran")).NotTo(BeAnExistingFile())
	}, limit)

	It("tells its command an address, and does not take it for its own flag", func(ctx SpecContext) {
		env := c.With("SALLYPORT_FORWARD=127.0.0.1:1")
		Expect(env.Run(ctx, "", append(s.As("hold", "alice"), "--", "sh", "-c", "echo $SALLYPORT_FORWARD")...)).To(printed("127.0.0.1:1\n"))
	}, limit)

	It("resets a connection before the server seats the next, though a hop between the two is frozen", Label("slow"), func(ctx SpecContext) {
		h := newHop(s.addr)
		f, port := s.Forward(ctx, "alice", "--addr", h.addr, "--once")
		p := runProgram(port)
		Expect(p.asks("one")).To(Equal("ok one"))
		bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
		h.mu.Lock()
		defer h.mu.Unlock()
		say(p, "two\n")
		p.isReset("")
		Expect(stdout(bob)).To(BeEmpty())
		exits(ctx, bob, 0)
		exits(ctx, f, 1)
		Expect(stderr(f)).To(ContainSubstring("the seat was lost: the server has not answered in time, and may give the seat away\n"))
	}, limit)
})
