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
	for _, failure := range []error{
		syscall.EMFILE, syscall.ENOBUFS, syscall.EPROTO, syscall.EPERM, syscall.ENETDOWN, errors.New("another one"),
	} {
		var said strings.Builder // whole before the first connection
		h := harness.StartOn(t, func(s *server.Server) {
			s.TLSConfig, s.ErrorLog = certified(), slog.New(slog.NewTextHandler(&said, nil))
		}, func(l net.Listener) net.Listener {
			f := &failing{Listener: l, err: &net.OpError{Op: "accept", Err: failure}}
			f.left.Store(3)
			return f
		})
		if err := h.LoggedIn(context.Background(), "alice").Quit(context.Background()); err != nil {
			t.Errorf("after %v: %v", failure, err)
		}
		if n := strings.Count(said.String(), "can't accept"); n != 1 || !strings.Contains(said.String(), failure.Error()) {
			t.Errorf("said %d times that it can't accept: %s", n, said.String())
		}
	}
}

// Sessions go on after a listener that somebody else has closed, so that the caller can shut the server down.
func TestClosedListenerEndsServe(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := testserver.Start(func(s *testserver.Server) { s.Listener, s.TLSConfig = l, certified() })
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Dialer().Dial(t.Context(), s.Addr, testserver.Credentials("alice"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if _, err := c.Do(t.Context(), harness.Ask("NOOP", "")); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if closed := s.Log.Records("session.close"); len(closed) != 1 || closed[0].Str("reason") != "shutdown" {
		t.Errorf("%v", closed)
	}
}
