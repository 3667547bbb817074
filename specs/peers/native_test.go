package peers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// mirror is a backend on TCP. It returns what it gets, with all bits inverted, and ends its direction after the
// client's. After the octets "hold" it doesn't, and after "break" it resets the connection and takes no other.
type mirror struct {
	net.Listener
	conns sync.WaitGroup
	// released ends what is held.
	released chan struct{}

	mu sync.Mutex
	// ends has how each connection ended.
	ends []string
	// in and out hash what was read and written.
	in, out hash.Hash
}

// serveMirror runs a mirror until the spec ends.
func serveMirror() *mirror {
	GinkgoHelper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	m := &mirror{Listener: l, released: make(chan struct{}), in: sha256.New(), out: sha256.New()}
	m.conns.Go(m.accept)
	DeferCleanup(func() {
		close(m.released)
		_ = l.Close() // it may be closed by then
		m.conns.Wait()
	})
	return m
}

func (m *mirror) accept() {
	for {
		conn, err := m.Accept()
		if err != nil {
			return
		}
		m.conns.Go(func() {
			end := m.serve(conn.(*net.TCPConn))
			m.mu.Lock()
			defer m.mu.Unlock()
			m.ends = append(m.ends, end)
		})
	}
}

// serve returns how the connection ended.
func (m *mirror) serve(conn *net.TCPConn) string {
	defer conn.Close()
	for buf, hold := make([]byte, 4096), false; ; {
		n, err := conn.Read(buf)
		switch got := string(buf[:n]); {
		case errors.Is(err, io.EOF) && hold:
			<-m.released
			return "held"
		case errors.Is(err, io.EOF):
			return "ended"
		case err != nil:
			return "reset"
		case got == "break":
			_ = m.Close()
			_ = conn.SetLinger(0)
			return "broken"
		case got == "hold":
			hold = true
		}
		m.in.Write(buf[:n])
		for i := range buf[:n] {
			buf[i] ^= 0xff
		}
		m.out.Write(buf[:n])
		if _, err := conn.Write(buf[:n]); err != nil {
			return "reset"
		}
	}
}

// behind makes the mirror a server's backend.
func (m *mirror) behind(s *server.Server) {
	s.Backend = func(ctx context.Context, _ *server.Request) (io.ReadWriteCloser, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", m.Addr().String())
	}
}

func (m *mirror) ended() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.ends...)
}

var _ = Describe("native.py, a native client made from protocol/README.md", Label("peer:python", "rfc:4954"), func() {
	BeforeEach(func() { harness.Tool("python3") })

	// exercise has native.py do an exercise as alice. It returns what native.py prints.
	exercise := func(ctx context.Context, addr string, arguments ...string) (string, error) {
		script := append([]string{"native.py"}, address(addr, caFile(testserver.ECDSA), "alice")...)
		return python(ctx, alice.password, append(script, arguments...)...)
	}

	DescribeTable("streams, and goes on", func(ctx SpecContext, mechanism, binding string) {
		m := serveMirror()
		h := start(m.behind)
		out, err := exercise(ctx, h.Addr, "stream", mechanism)
		Expect(err).NotTo(HaveOccurred())
		Expect(loggedIn(h)).To(Equal([]string{"alice", mechanism, binding}))
		Eventually(ctx, m.ended).Should(Equal([]string{"ended"}))
		Expect(strings.Fields(out)).To(Equal([]string{
			hex.EncodeToString(m.in.Sum(nil)), hex.EncodeToString(m.out.Sum(nil)),
			"ended", "250", "closed", "700001", "700001", "hello",
		}))
	},
		Entry("bound to the certificate", limit, Label("mech:plus", "rfc:5929"), scram.SHA256Plus, scram.TypeServerEndPoint),
		Entry("with SCRAM-SHA-256", limit, Label("mech:plain"), scram.SHA256, ""),
	)

	DescribeTable("ends a stream", Label("mech:plus"), func(ctx SpecContext, name, printed string, ends ...string) {
		m := serveMirror()
		Expect(exercise(ctx, start(m.behind).Addr, name)).To(Equal(printed))
		Eventually(ctx, m.ended).Should(ContainElements(ends))
	},
		Entry("by ABORT", limit, "abort", "250 closed 4 4\n250 closed 4 4\n['alice']\n", "reset"),
		Entry("and has the next commands behind its DATA 0", limit, "pipelined",
			"250 closed 5 5\n['alice']\n250 closed 5 5\n", "ended", "ended"),
		Entry("that the backend breaks", limit, "broken",
			"['554', 'failed']\n['alice']\n554 failed ['alice']\n", "broken"),
	)

	DescribeTable("says a last word while the seat is taken", Label("mech:plus"), func(ctx SpecContext, how string) {
		Expect(exercise(ctx, start(nil).Addr, "words", how)).To(Equal(`stat 250 holder since idle waiting served uptime []
nowait 421 busy []
ok []
('121', ['waiting 1'], b'')
['120 position 1 holder alice']
stat 250 waiting served uptime []
nowait 235 welcome []
`))
	},
		Entry("in a write of its own", limit, "apart"),
		Entry("together with client-final", limit, "together"),
	)

	DescribeTable("learns from EHLO", Label("mech:plus"), func(ctx SpecContext, backend bool, printed string) {
		var configure func(*server.Server)
		if backend {
			configure = serveMirror().behind
		}
		Expect(exercise(ctx, start(configure).Addr, "capabilities")).To(Equal(printed))
	},
		Entry("that there is a backend", limit, true, "nowait stat True\n"),
		Entry("that there is none", limit, false, "nowait stat False\n"),
	)

	DescribeTable("sees how the connection ends", func(ctx SpecContext, serve func() string, end types.GomegaMatcher) {
		_, err := exercise(ctx, serve(), "leave")
		Expect(err).To(end)
	},
		Entry("with the close_notify of our server", limit, func() string { return start(nil).Addr }, Succeed()),
		Entry("without, at a server that hangs up", limit, Label("control"), func() string {
			return (&lineServer{who: alice, stored: alice.xdgCredentials(), bind: ownCertificate, cut: true}).run().addr
		}, MatchError(ContainSubstring("SSLEOFError"))),
	)
})
