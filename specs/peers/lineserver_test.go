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
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// lineServer is a minimal server of the protocol, with SCRAM by xdg and lines by net/textproto. It knows one user.
type lineServer struct {
	who account
	// stored is the verifier of the user. With another ServerKey the server can't prove itself.
	stored xdg.StoredCredentials
	// bind derives the binding for SCRAM-SHA-256-PLUS.
	bind derive
	// scram begins a conversation of another implementation. Nil means xdg's.
	scram func(scram.ChannelBinding) conversation
	// hasty lets it answer any AUTH with a 235, without a proof.
	hasty bool
	// cut lets it end without close_notify.
	cut bool

	addr  string
	roots *x509.CertPool
}

// run serves until the spec ends.
func (s *lineServer) run() *lineServer {
	GinkgoHelper()
	pair := testserver.Certificate(testserver.ECDSA)
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
	server, err := s.conversation(conn.ConnectionState(), words[1])
	if err != nil {
		return err
	}
	for line = words[2]; !server.Done(); {
		message, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return err
		}
		answer, failed := server.Step(string(message))
		if failed != nil {
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
	var binding xdg.ChannelBinding
	if strings.HasSuffix(mechanism, "-PLUS") {
		var err error
		if binding, err = s.bind(&state); err != nil {
			return nil, err
		}
	}
	b := scram.ChannelBinding{Type: string(binding.Type), Data: binding.Data}
	if s.scram != nil {
		return s.scram(b), nil
	}
	return xdgServer(s.who, s.stored, b), nil
}

// ownCertificate derives tls-server-end-point from the server's certificate, as the server does.
func ownCertificate(*tls.ConnectionState) (xdg.ChannelBinding, error) {
	leaf := testserver.Certificate(testserver.ECDSA).Leaf
	return xdg.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}})
}
