package secure_test

import (
	"crypto/tls"
	"crypto/x509"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server/secure"
)

// clientCertificate is one that is its own CA.
func clientCertificate() tls.Certificate {
	return testserver.NewCertificate(testserver.ECDSA, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
}

// connect makes a connection to a server with this configuration. It returns what the server knows of it.
func connect(t *testing.T, server *secure.Config, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server.TLS)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var done sync.WaitGroup
	defer done.Wait()
	done.Go(func() {
		if c, err := tls.Dial("tcp", l.Addr().String(), client); err == nil {
			_, _ = c.Read(make([]byte, 1)) // the ticket comes before it
			_ = c.Close()
		}
	})
	raw, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_, err = raw.Write([]byte("x"))
	return raw.(*tls.Conn).ConnectionState(), err
}

// A ticket is good for the configuration that it came from, and so for its certificate and its CA of clients. No
// resumption skips the check of a client certificate.
func TestTicketsEndWithTheConfiguration(t *testing.T) {
	t.Parallel()
	person, other := clientCertificate(), clientCertificate()
	base := &tls.Config{
		Certificates: []tls.Certificate{testserver.Certificate(testserver.ECDSA)},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: testserver.Pool(person),
	}
	config := func() *secure.Config {
		c, err := secure.New(base)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, again := config(), config()
	base.ClientCAs = testserver.Pool(other)
	changed := config()
	client := &tls.Config{
		RootCAs: testserver.Pool(base.Certificates...), ServerName: "localhost", NextProtos: []string{protocol.ALPN},
		Certificates: []tls.Certificate{person}, ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
	for _, step := range []struct {
		name    string
		server  *secure.Config
		resumed bool
	}{{"first", first, false}, {"first again", first, true}, {"another with the same CA", again, false}} {
		state, err := connect(t, step.server, client)
		if err != nil || state.DidResume != step.resumed || len(state.PeerCertificates) != 1 {
			t.Errorf("%s: resumed %t, %v", step.name, state.DidResume, err)
		}
	}
	if state, err := connect(t, changed, client); err == nil {
		t.Errorf("a certificate of another CA is accepted, resumed %t", state.DidResume)
	}
	client.Certificates = nil
	if _, err := connect(t, changed, client); err == nil {
		t.Error("no certificate is accepted")
	}
}
