package specs

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// oldServer starts a server from before STREAM. After the login it answers a line of replies with its reply, and then
// calls raw if that is 252.
func (c *cli) oldServer(ctx context.Context, replies map[string]string, raw func(*testserver.Conn)) *service {
	GinkgoHelper()
	pair := testserver.Certificate(testserver.ECDSA)
	Expect(os.Mkdir(c.Path("state"), 0o700)).To(Succeed())
	c.Write("state/ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	c.writePasswords("alice")
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol.ALPN}}
	return &service{cli: c, state: c.Path("state"), addr: listener("tcp", "127.0.0.1:0", func(tcp net.Conn) {
		conn, err := testserver.ServerConn(ctx, tcp, config)
		if err == nil {
			err = oldLogin(conn)
		}
		Expect(err).NotTo(HaveOccurred())
		for {
			line, err := conn.Line()
			if err != nil {
				return
			}
			reply := replies[line]
			_ = conn.Send(reply)
			if strings.HasPrefix(reply, "252 ") {
				raw(conn)
				return
			}
		}
	})}
}

// oldLogin serves a login of alice.
func oldLogin(conn *testserver.Conn) error {
	binding, err := testserver.Binding(conn.ConnectionState())
	login := scram.NewServer(scram.ServerConfig{
		Mechanism: scram.SHA256Plus, PlusOffered: true, Bindings: []scram.ChannelBinding{binding},
		Lookup: func(name string) (scram.Verifier, bool) {
			v, known, _ := testserver.NewUsers().Lookup(name)
			return v, known
		},
	})
	err = errors.Join(err, conn.Send("220 old sallyport/1 ready"))
	line, failed := conn.Line()
	if strings.HasPrefix(line, "EHLO ") {
		err = errors.Join(err, conn.Send("250-old", "250-AUTH SCRAM-SHA-256-PLUS", "250 ADMISSION queue"))
		line, failed = conn.Line()
	}
	challenge, e := login.First(decoded(strings.TrimPrefix(line, "AUTH "+scram.SHA256Plus+" ")))
	err = errors.Join(err, failed, e, conn.Send("334 "+base64.StdEncoding.EncodeToString(challenge)))
	line, failed = conn.Line()
	challenge, e = login.Final(decoded(line))
	err = errors.Join(err, failed, e, conn.Send("334 "+base64.StdEncoding.EncodeToString(challenge)))
	line, failed = conn.Line()
	if line != "" {
		failed = fmt.Errorf("%q in place of the empty line", line)
	}
	return errors.Join(err, failed, conn.Send("235 welcome"))
}

func decoded(text string) []byte {
	message, _ := base64.StdEncoding.DecodeString(text)
	return message
}

var _ = Describe("An old server", Label("area:command", "area:stream"), func() {
	c := withCLI()

	It("gets OPEN from connect --open", func(ctx SpecContext) {
		s := c.oldServer(ctx, map[string]string{"STREAM": "500 unknown-command see HELP", "OPEN": "252 open"}, func(conn *testserver.Conn) {
			line, _ := conn.Line()
			_ = conn.Send("got " + line)
			_ = conn.CloseWrite()
			_, _ = conn.Line() // until the client has ended its direction
		})
		Expect(c.Run(ctx, "hello\r\n", s.As("connect", "alice", "--open")...)).To(printed("got hello\r\n"))
	}, limit)

	It("can't tell why it ends a stream of OPEN", func(ctx SpecContext) {
		s := c.oldServer(ctx, map[string]string{"STREAM": "500 unknown-command see HELP", "OPEN": "252 open"}, func(conn *testserver.Conn) {
			_ = conn.Send("half")
			_ = conn.NetConn().Close()
		})
		alice, _ := c.Piped(s.As("connect", "alice", "--open")...)
		exits(ctx, alice, 1)
		Expect(alice).To(did(1, "half\r\n", MatchRegexp(`^sallyport connect: the server ended the stream early \(evicted, [^\n]+\n$`)))
	}, limit)

	It("without a backend refuses connect --open", func(ctx SpecContext) {
		refused := "500 unknown-command see HELP"
		s := c.oldServer(ctx, map[string]string{"STREAM": refused, "OPEN": refused}, nil)
		Expect(s.Connect(ctx, "alice", "--open")).To(failed(6, "500 unknown-command .*: this server has no --backend"))
	}, limit)
})
