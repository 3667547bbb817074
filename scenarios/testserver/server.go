// Package testserver runs a Sallyport server in the process, for tests of a handler, of a client
// or of the server itself. It needs no files and no test framework. Begin with [Start]:
//
//	s, err := testserver.Start(func(s *testserver.Server) { s.Handler = mine })
//	...
//	defer s.Stop()
//	c, err := s.Dialer().Dial(ctx, s.Addr, testserver.Credentials("alice"))
//
// example_test.go is a complete test.
//
// The server listens on a free port of 127.0.0.1, has the users of [Names], and keeps its interaction
// log in memory, for [Log.Records].
//
// To send what no correct client sends, use [Conn], a TLS connection for single lines, and
// [Login], a SCRAM login line by line.
package testserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
)

// Server is a server in the process. The fields are set when configure is called (see [Start]),
// except for Addr and Roots.
type Server struct {
	*server.Server
	// Listener is where the server listens. Nil means a free port of 127.0.0.1.
	Listener net.Listener
	// Users are the users of the server, unless Server.Users is replaced.
	Users *Users
	// Log has the interaction log, unless Server.Audit is replaced.
	Log *Log
	// Addr is the host and port of the listener.
	Addr string
	// Roots trust the certificates that the server has at its start.
	Roots *x509.CertPool

	done chan struct{}
	err  error // what Serve returned; valid once done is closed
}

// Start starts a server. Configure changes it before; nil changes nothing. Unless configure says
// otherwise the certificate is [Certificate] of [ECDSA], one source may fill the whole lobby, and loopback
// is trusted, because all clients of a test come from one address. Call Stop when the test is over.
func Start(configure func(*Server)) (*Server, error) {
	s := &Server{Users: NewUsers(), Log: &Log{}, done: make(chan struct{})}
	s.Server = &server.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{Certificate(ECDSA)}},
		Users:     s.Users,
		Audit:     audit.New(s.Log, audit.Options{}),
		Limits:    server.Limits{LobbyPerSource: 256},
		Trust:     []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
	if configure != nil {
		configure(s)
	}
	s.Roots = Pool(s.TLSConfig.Certificates...)
	if s.Listener == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("testserver: %w", err)
		}
		s.Listener = l
	}
	s.Addr = s.Listener.Addr().String()
	go func() {
		s.err = s.Serve(s.Listener)
		close(s.done)
	}()
	return s, nil
}

// Done is closed when the server has ended.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop shuts the server down, after 2 s by force, and waits for its end.
func (s *Server) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		_ = s.Close()
	}
	<-s.done
	if !errors.Is(s.err, server.ErrServerClosed) {
		return fmt.Errorf("testserver: the server ended by itself: %w", s.err)
	}
	return nil
}

// Dialer returns a dialer that trusts the server.
func (s *Server) Dialer() *client.Dialer {
	return &client.Dialer{TLSConfig: &tls.Config{RootCAs: s.Roots}, Keys: keys}
}

// Credentials returns the credentials of a user of [Names].
func Credentials(name string) client.Credentials {
	return client.Credentials{Username: name, Password: Password(name)}
}
