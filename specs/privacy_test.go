package specs

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/specs/harness"
)

const (
	question = "the coordinates are 48.2, 16.37"
	answer   = "a body of " + question + "\r\n" // of ECHO
)

var _ = Describe("Privacy", Label("area:privacy", "promise:3"), func() {
	It("shows a sniffer no name, password, request or reply", func(ctx SpecContext) {
		h := start(nil)
		sent := converse(ctx, h.Connect(ctx), "alice")
		Expect(sent.found(h.Eve.Saw)).To(BeEmpty(), "in the clear")
		Expect(sent.found(inCapture(capture(h.Eve, nil)))).To(BeEmpty(), "in the clear in the capture")
		Expect(h.Eve.Size()).To(BeNumerically(">", len(strings.Join(sent.secrets(), ""))), "control: the sniffer saw the connection")
	}, limit)

	It("would fail the same search without TLS", Label("control"), func(ctx SpecContext) {
		sent := converse(ctx, start(nil).Connect(ctx), "alice")
		eve := sent.inTheClear(ctx)
		Expect(sent.found(eve.Saw)).To(Equal(sent.secrets()))
		Expect(sent.found(inCapture(capture(eve, nil)))).To(Equal(sent.secrets()))
	}, limit)
})

// conversation has the text that was sent above TLS: the greeting, then the client's lines and the server's replies.
type conversation struct {
	name           string
	client, server []string
}

// converse logs a user in, asks something, sends a body, and leaves.
func converse(ctx context.Context, w *harness.Conn, name string) *conversation {
	GinkgoHelper()
	c := &conversation{name: name, server: []string{w.Line() + "\r\n"}}
	login, err := testserver.NewLogin(w.Conn.Conn, scram.ClientConfig{Username: name})
	Expect(err).NotTo(HaveOccurred())
	auth, err := login.Auth()
	Expect(err).NotTo(HaveOccurred())
	final, err := login.Final(ctx, c.ask(w, auth, 1))
	Expect(err).NotTo(HaveOccurred())
	Expect(login.Verify(c.ask(w, final, 1))).To(Succeed())
	for _, line := range []string{"", "WHOAMI", "ECHO " + question} {
		c.ask(w, line, 1)
	}
	c.ask(w, fmt.Sprintf("BODY %d ECHO\r\n", len(answer))+strings.TrimSuffix(answer, "\r\n"), 2)
	c.ask(w, "QUIT", 1)
	Expect(c.server[3:]).To(HaveExactElements(HavePrefix("235 "), Equal("250 "+name+"\r\n"), Equal("250 "+question+"\r\n"),
		HaveSuffix("\r\n"+answer), HavePrefix("221 ")))
	return c
}

// ask sends a line, and records and returns the reply.
func (c *conversation) ask(w *harness.Conn, line string, lines int) (answer string) {
	GinkgoHelper()
	w.Send(line + "\r\n")
	for range lines {
		answer += w.Line() + "\r\n"
	}
	c.client, c.server = append(c.client, line+"\r\n"), append(c.server, answer)
	return strings.TrimSuffix(answer, "\r\n")
}

// secrets returns what must not be sent in the clear: the user's name and password, and all lines and replies.
func (c *conversation) secrets() []string {
	all := []string{c.name, testserver.Password(c.name), question}
	for _, sent := range append(append([]string(nil), c.client...), c.server...) {
		if sent != "\r\n" {
			all = append(all, sent)
		}
	}
	return all
}

// found returns the secrets that search finds.
func (c *conversation) found(search func(string) bool) (all []string) {
	for _, secret := range c.secrets() {
		if search(secret) {
			all = append(all, secret)
		}
	}
	return all
}

// inTheClear sends the password and the same lines over TCP, each line in two pieces. It returns the sniffer.
func (c *conversation) inTheClear(ctx context.Context) *scenarios.Eve {
	GinkgoHelper()
	client := append([]string{"PASS " + testserver.Password(c.name) + "\r\n"}, c.client...)
	eve := &scenarios.Eve{}
	conn, err := eve.DialContext(ctx, "tcp", listener("tcp", "127.0.0.1:0", func(conn net.Conn) {
		for i := range client {
			Expect(hear(conn, len(client[i]))).To(Equal(client[i]))
			say(conn, c.server[i])
		}
	}))
	Expect(err).NotTo(HaveOccurred())
	defer conn.Close()
	for i, line := range client {
		half := len(line) / 2
		say(conn, line[:half])
		say(conn, line[half:])
		half = len(c.server[i]) / 2
		Expect(hear(conn, half) + hear(conn, len(c.server[i])-half)).To(Equal(c.server[i]))
	}
	return eve
}

// hear reads n bytes.
func hear(r io.Reader, n int) string {
	GinkgoHelper()
	p := make([]byte, n)
	_, err := io.ReadFull(r, p)
	Expect(err).NotTo(HaveOccurred())
	return string(p)
}
