package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// pipes is a listener whose connections are net.Pipes, which synthetic time can wait for.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// world is a server in synthetic time.
type world struct {
	*harness.H
	l *pipes
}

// inSyntheticTime runs a test in a bubble where waiting takes no time.
func inSyntheticTime(t *testing.T, configure func(*server.Server), test func(w world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := world{l: &pipes{make(chan net.Conn), make(chan struct{})}}
		w.H = harness.StartOn(t, func(s *server.Server) {
			certify(s)
			if configure != nil {
				configure(s)
			}
		}, func(inner net.Listener) net.Listener {
			_ = inner.Close()
			return w.l
		})
		test(w)
	})
}

// certify gives s a certificate for the year that it is: the harness's own is for the one in which it
// is first asked for, which synthetic time begins with.
func certify(s *server.Server) {
	pair := testserver.NewCertificate(testserver.ECDSA, func(*x509.Certificate) {})
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
}

func (w world) connect() *harness.Conn {
	ours, theirs := net.Pipe()
	w.l.conns <- theirs
	return w.ConnectOn(context.Background(), ours)
}

// within checks that the next line is as expected, and came when it should.
func (w world) within(c *harness.Conn, began time.Time, want time.Duration, line string) {
	w.T.Helper()
	got := c.Line()
	if took := time.Since(began); !strings.HasPrefix(got, line) || took < want || took > want+want/8 {
		w.T.Fatalf("%q after %v, want %q after %v", got, took, line, want)
	}
}
