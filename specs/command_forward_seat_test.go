package specs

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

var _ = Describe("The command forward, when the seat never comes,", Label("area:command", "area:forward", "promise:6"), func() {
	c := withCLI()
	var r *rig
	BeforeEach(func() { r = newRig() })
	// serve starts a server in front of the rig.
	serve := func(ctx context.Context, flags ...string) *service {
		GinkgoHelper()
		return c.Serve(ctx, append([]string{"--backend", "tcp:" + r.addr}, flags...)...)
	}

	It("resets the connection and ends with --once, and otherwise tells and serves the next", func(ctx SpecContext) {
		s := serve(ctx)
		bob, in := s.Seated(ctx, "bob")
		once, port := s.Forward(ctx, "alice", "--once", "--no-wait")
		isResetAtOnce(port)
		exits(ctx, once, 5)
		f, port := s.Forward(ctx, "alice", "--no-wait")
		isResetAtOnce(port)
		says(ctx, f.Err, `ended: the seat is taken: [^\n]*bob`)
		Expect(in.Close()).To(Succeed())
		exits(ctx, bob, 0)
		Expect(runProgram(port).asks("one")).To(Equal("ok one"))
	}, limit)

	It("goes on when the server is back", func(ctx SpecContext) {
		s := serve(ctx)
		f, port := s.Forward(ctx, "alice")
		s.Stop(ctx)
		isResetAtOnce(port)
		says(ctx, f.Err, "ended: no connection to [^\n]*refused: is a server running there")
		c.ServeOn(ctx, s.state, "--listen", s.addr, "--backend", "tcp:"+r.addr)
		Expect(runProgram(port).asks("one")).To(Equal("ok one"))
	}, limit)

	It("ends where the next connection would fail too", func(ctx SpecContext) {
		s := newCLI().Serve(ctx) // without a backend
		for _, more := range [][]string{nil, {"--once"}, {"--keep"}} {
			f, port := s.Forward(ctx, "alice", more...)
			if len(more) == 0 || more[0] != "--keep" {
				isResetAtOnce(port)
			}
			exits(ctx, f, 1)
			Expect(stderr(f)).To(MatchRegexp(`\nsallyport forward: [^\n]*has no --backend, or is too old[^\n]*\n$`))
		}
	}, limit)

	It("ends when the password was changed", func(ctx SpecContext) {
		s := serve(ctx)
		f, port := s.Forward(ctx, "alice")
		Expect(c.Run(ctx, "swordfish\n", "user", "passwd", "alice", "--password-stdin", "--state", s.state)).To(gexec.Exit(0))
		isResetAtOnce(port)
		exits(ctx, f, 4)
		Expect(stderr(f)).To(MatchRegexp(`\nsallyport forward: [^\n]*is the name .* right, and the password[^\n]*\n$`))
	}, limit)

	DescribeTable("says so before any program connects", func(ctx SpecContext, code int, why string, args func(*service) []string) {
		s := serve(ctx)
		for _, more := range [][]string{nil, {"--once"}} {
			f := c.Start(append(append(s.As("forward", "alice", "--listen", "0"), args(s)...), more...)...)
			exits(ctx, f, code)
			Expect(stderr(f)).To(MatchRegexp(`^sallyport forward: [^\n]*` + why + `[^\n]*\n$`))
		}
	},
		Entry("the password is wrong", 4, "is the name .* right, and the password", func(*service) []string {
			return []string{"--password-file", c.Write("wrong", "swordfish\n")}
		}, limit),
		Entry("the CA is another", 3, "is not the CA of this server", func(*service) []string {
			other := newCLI()
			other.AddUser(context.Background(), other.Path("state"), "alice")
			return []string{"--ca", other.Path("state/ca.pem")}
		}, limit),
		Entry("no server is there", 3, "is a server running there", func(*service) []string {
			return []string{"--addr", unusedAddr}
		}, limit),
	)
})
