package peers

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	xdg "github.com/xdg-go/scram"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/specs/harness"
)

// conversation is the server's side of a login.
type conversation interface {
	side
	Done() bool
	Valid() bool
}

// lineServer is the least server that speaks the protocol: xdg's SCRAM, and
// lines by net/textproto. It knows one user.
type lineServer struct {
	who    account
	stored xdg.StoredCredentials                                   // a change of these makes a liar of it
	bind   derive                                                  // for SCRAM-SHA-256-PLUS
	tells  bool                                                    // why a login failed, as SCRAM can, rather than with a 535
	cut    bool                                                    // ends without close_notify
	scram  func(tls.ConnectionState, string) (conversation, error) // nil: xdg's
	hasty  bool                                                    // says 235 to whoever has said AUTH, and proves nothing

	addr  string
	roots *x509.CertPool
}

// run serves until the spec ends.
func (s *lineServer) run() *lineServer {
	GinkgoHelper()
	pair := harness.Certificate(harness.ECDSA)
	s.roots = x509.NewCertPool()
	s.roots.AddCert(pair.Leaf)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	s.addr = l.Addr().String()
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol.ALPN}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			_ = raw.SetDeadline(time.Now().Add(30 * time.Second))
			serving.Go(func() { s.serve(tls.Server(raw, config)) })
		}
	})
	DeferCleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return s
}

func (s *lineServer) serve(conn *tls.Conn) {
	defer conn.Close()
	if conn.Handshake() != nil {
		return
	}
	text := textproto.NewConn(conn)
	if text.PrintfLine("220 xdg ready") != nil {
		return
	}
	if s.login(conn, text) != nil {
		_ = text.PrintfLine("535 login-failed no")
		return
	}
	reply := "235 welcome"
	for text.PrintfLine("%s", reply) == nil && !strings.HasPrefix(reply, "221") {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		reply = "221 bye"
		if argument, ok := strings.CutPrefix(line, "ECHO "); ok {
			reply = "250 " + argument
		}
	}
	if s.cut {
		_ = conn.NetConn().Close()
	}
}

var errNoLogin = errors.New("the client did not log in")

func (s *lineServer) login(conn *tls.Conn, text *textproto.Conn) error {
	line, err := text.ReadLine()
	if err != nil {
		return err
	}
	if s.hasty {
		return nil
	}
	words := strings.Split(line, " ")
	if len(words) != 3 || words[0] != "AUTH" {
		return errNoLogin
	}
	begin := s.scram
	if begin == nil {
		begin = s.conversation
	}
	server, err := begin(conn.ConnectionState(), words[1])
	if err != nil {
		return err
	}
	for line = words[2]; !server.Done(); {
		message, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return err
		}
		answer, failed := server.Step(string(message))
		if failed != nil && !s.tells {
			return failed
		}
		if err := text.PrintfLine("334 %s", base64.StdEncoding.EncodeToString([]byte(answer))); err != nil {
			return err
		}
		if line, err = text.ReadLine(); err != nil {
			return err
		}
	}
	if line != "" || !server.Valid() {
		return errNoLogin
	}
	return nil
}

func (s *lineServer) conversation(state tls.ConnectionState, mechanism string) (conversation, error) {
	server, err := xdg.SHA256.NewServer(func(name string) (xdg.StoredCredentials, error) {
		if name != s.who.prepared {
			return xdg.StoredCredentials{}, errNoLogin
		}
		return s.stored, nil
	})
	if err != nil || !strings.HasSuffix(mechanism, "-PLUS") {
		return server.NewConversation(), err
	}
	binding, err := s.bind(&state)
	return server.NewConversationWithChannelBindingRequired(binding), err
}

// ownCertificate is tls-server-end-point as its server sees it.
func ownCertificate(*tls.ConnectionState) (xdg.ChannelBinding, error) {
	leaf := harness.Certificate(harness.ECDSA).Leaf
	return xdg.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}})
}
