package specs

import (
	"net"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/specs/harness"
)

// slowDrain is a listener whose first connection can be drained only when goOn is closed. It records how far the
// server is with closing that connection.
type slowDrain struct {
	net.Listener
	accepted atomic.Bool
	// halved is closed when the server has ended its direction.
	halved chan struct{}
	goOn   chan struct{}
	closed atomic.Bool
}

func (l *slowDrain) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil && l.accepted.CompareAndSwap(false, true) {
		return &slowConn{c, l}, nil
	}
	return c, err
}

type slowConn struct {
	net.Conn
	l *slowDrain
}

func (c *slowConn) CloseWrite() error {
	close(c.l.halved)
	return c.Conn.(*net.TCPConn).CloseWrite()
}

func (c *slowConn) Read(p []byte) (int, error) {
	select {
	case <-c.l.halved:
		<-c.l.goOn
	default:
	}
	return c.Conn.Read(p)
}

func (c *slowConn) Close() error {
	c.l.closed.Store(true)
	return c.Conn.Close()
}

var _ = Describe("The end of a connection", Label("area:closing"), func() {
	var (
		l *slowDrain
		h *harness.H
	)
	BeforeEach(func() {
		h = harness.StartOn(GinkgoTB(), nil, func(inner net.Listener) net.Listener {
			l = &slowDrain{Listener: inner, halved: make(chan struct{}), goOn: make(chan struct{})}
			return l
		})
	})

	It("is a close_notify, a half-close, and a drain, so that the last reply arrives", func(ctx SpecContext) {
		w := h.Connect(ctx).Greeted()
		w.Send("BODY 100000 ECHO\r\n" + strings.Repeat("x", 100000))
		Expect(w.Line()).To(HavePrefix("530 login-required "))
		Expect(w.Line()).To(Equal("EOF"))
		Eventually(ctx, l.halved).WithTimeout(5 * time.Second).Should(BeClosed())
		Expect(l.closed.Load()).To(BeFalse())
		close(l.goOn)
		Expect(w.TCP.Close()).To(Succeed())
		Eventually(ctx, l.closed.Load).Should(BeTrue())
	}, limit)

	It("does not delay the next client", Label("promise:6"), func(ctx SpecContext) {
		alice := h.Connect(ctx).Seated("alice")
		Expect(alice.Ask("QUIT")).To(HavePrefix("221 "))
		Eventually(ctx, l.halved).WithTimeout(5 * time.Second).Should(BeClosed())
		bob := h.LogIn(ctx, "bob")
		Eventually(ctx, bob.Done).WithTimeout(5 * time.Second).Should(BeClosed())
		Expect(bob.Err).NotTo(HaveOccurred())
		Expect(l.closed.Load()).To(BeFalse(), "control: the server still drains")
		close(l.goOn)
	}, limit)
})
