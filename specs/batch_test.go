package specs

import (
	"bytes"
	"net"
	"strings"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/specs/harness"
)

// counting is a listener that counts the writes of the server to its sockets.
type counting struct {
	net.Listener
	writes atomic.Int64
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (l *counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{c, &l.writes}, nil
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// late delays the end of a client's TLS handshake, and sends it with the client's next write.
type late struct {
	net.Conn
	writes int
	held   []byte
}

func (l *late) Write(p []byte) (int, error) {
	if l.writes++; l.writes == 2 {
		l.held = bytes.Clone(p)
		return len(p), nil
	}
	_, err := l.Conn.Write(append(l.held, p...))
	l.held = nil
	return len(p), err
}

var _ = Describe("The greeting", Label("area:login"), func() {
	It("goes out with the answer to a command that comes with the end of the handshake", func(ctx SpecContext) {
		var l *counting
		h := harness.StartOn(GinkgoTB(), nil, func(inner net.Listener) net.Listener {
			l = &counting{Listener: inner}
			return l
		})
		raw, err := new(net.Dialer).DialContext(ctx, "tcp", h.Addr)
		Expect(err).NotTo(HaveOccurred())
		w := h.ConnectOn(ctx, &late{Conn: raw})
		Expect(l.writes.Load()).To(Equal(int64(1)), "control: the server's part of the handshake")
		w.Send("NOOP\r\n")
		Expect(w.Line()).To(HavePrefix("220 "))
		Expect(w.Line()).To(Equal("250 ok"))
		Expect(l.writes.Load()).To(Equal(int64(2)))
	}, limit)
})

var _ = Describe("A batch of pipelined requests", Label("area:session"), func() {
	text := strings.Repeat("x", 200)
	DescribeTable("is answered with one write to the socket, from the first on",
		func(ctx SpecContext, request, reply string) {
			const window = 40
			var l *counting
			h := harness.StartOn(GinkgoTB(), nil, func(inner net.Listener) net.Listener {
				l = &counting{Listener: inner}
				return l
			})
			w := h.Connect(ctx).Seated("alice")
			for range 3 {
				before := l.writes.Load()
				w.Send(strings.Repeat(request, window))
				Expect(w.Bytes(window * len(reply))).To(Equal(strings.Repeat(reply, window)))
				Expect(l.writes.Load() - before).To(Equal(int64(1)))
			}
		},
		Entry("of lines", "ECHO "+text+"\r\n", "250 "+text+"\r\n", limit),
		Entry("with bodies", "BODY 200 ECHO\r\n"+text, "251 200\r\n"+text, limit),
	)
})
