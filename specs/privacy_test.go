package specs

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/specs/harness"
)

const (
	question = "the coordinates are 48.2, 16.37"
	answer   = question // of ECHO
)

var _ = Describe("Privacy", Label("area:privacy", "promise:3"), func() {
	It("shows a sniffer no name, password, request or reply", func(ctx SpecContext) {
		h := start(nil)
		alice := h.LoggedIn(ctx, "alice")
		reply, err := alice.Do(ctx, harness.Ask("ECHO", question))
		Expect(err).NotTo(HaveOccurred())
		Expect(reply.Text).To(Equal(answer))
		reply, err = alice.Do(ctx, protocol.Request{Verb: "ECHO", Body: []byte("a body of " + question)})
		Expect(err).NotTo(HaveOccurred())
		Expect(reply.Body).To(Equal([]byte("a body of " + question)))
		Expect(alice.Quit(ctx)).To(Succeed())

		Expect(h.Eve.Octets()).To(BeNumerically(">", 1000), "the sniffer sat on the wire")
		for _, secret := range secrets("alice") {
			Expect(h.Eve.Saw(secret)).To(BeFalse(), "%q crossed the wire in the clear", secret)
		}
	}, limit)

	It("would be found wanting by the same sniffer without TLS", Label("control"), func(ctx SpecContext) {
		eve := &scenarios.Eve{}
		c, err := eve.DialContext(ctx, "tcp", plaintextServer())
		Expect(err).NotTo(HaveOccurred())
		defer c.Close()
		in := bufio.NewReader(c)
		for _, line := range []string{
			"AUTH SCRAM-SHA-256 " + base64.StdEncoding.EncodeToString([]byte("n,,n=alice,r=nonce")),
			"ECHO " + question, "PASSWORD " + harness.Password("alice"), "QUIT",
		} {
			_, err := fmt.Fprintf(c, "%s\r\n", line)
			Expect(err).NotTo(HaveOccurred())
			_, err = in.ReadString('\n')
			Expect(err).NotTo(HaveOccurred())
		}
		for _, secret := range secrets("alice") {
			Expect(eve.Saw(secret)).To(BeTrue(), "the sniffer misses %q", secret)
		}
	}, limit)
})

// secrets is what must not cross the wire: as it is, and as a login would
// encode it.
func secrets(name string) []string {
	return []string{
		base64.StdEncoding.EncodeToString([]byte("n,,n=" + name))[:8], // "n,,n=al" in base64
		harness.Password(name), question, "ECHO", "QUIT", "250 ",
	}
}

// plaintextServer is what people have today: a port that echoes lines.
func plaintextServer() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(l.Close)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for in := bufio.NewReader(c); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "250 "+line)
		}
	}()
	return l.Addr().String()
}
