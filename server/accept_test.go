package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// failing is a listener whose first calls of Accept fail.
type failing struct {
	net.Listener
	left atomic.Int32
	err  error
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left.Add(-1) >= 0 {
		return nil, f.err
	}
	return f.Listener.Accept()
}

// certified has a certificate of its own: tests in synthetic time share one of another year.
func certified() *tls.Config {
	pair := testserver.NewCertificate(testserver.ECDSA, func(*x509.Certificate) {})
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

func TestAcceptIsTriedAgain(t *testing.T) {
	t.Parallel()
	var said strings.Builder // whole before the first connection
	h := harness.StartOn(t, func(s *server.Server) {
		s.TLSConfig, s.ErrorLog = certified(), slog.New(slog.NewTextHandler(&said, nil))
	}, func(l net.Listener) net.Listener {
		f := &failing{Listener: l, err: &net.OpError{Op: "accept", Err: syscall.EMFILE}}
		f.left.Store(3)
		return f
	})
	if err := h.LoggedIn(context.Background(), "alice").Quit(context.Background()); err != nil {
		t.Error(err)
	}
	if n := strings.Count(said.String(), "can't accept"); n != 3 {
		t.Errorf("said %d times that it can't accept: %s", n, said.String())
	}
}

func TestAcceptGivesUp(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server.Server{TLSConfig: certified(), Users: testserver.NewUsers()}
	broken := &failing{Listener: l, err: errors.New("the listener is broken")}
	broken.left.Store(1)
	if err := s.Serve(broken); !errors.Is(err, broken.err) {
		t.Errorf("%v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
