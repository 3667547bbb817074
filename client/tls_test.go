package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/client/secure"
	"github.com/sallyport/sallyport/protocol"
)

// Other certificates and protocols that a client must refuse are in fixtures/rogue-server.
func TestTLSMustBe(t *testing.T) {
	t.Parallel()
	named := func(names ...string) func(*tls.Config) {
		return func(c *tls.Config) {
			c.Certificates = []tls.Certificate{certify(key(), func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, names })}
		}
	}
	version := func(v uint16) func(*tls.Config) {
		return func(c *tls.Config) { c.MinVersion, c.MaxVersion = v, v }
	}
	speaking := func(protocols ...string) func(*tls.Config) {
		return func(c *tls.Config) { c.NextProtos = protocols }
	}
	atLeast := func(v uint16) func(*tls.Config) {
		return func(c *tls.Config) { c.MinVersion = v }
	}
	same := func(*tls.Config) {}
	for name, test := range map[string]struct {
		server func(*tls.Config)
		client func(*tls.Config)
		good   bool
	}{
		"good":                 {same, same, true},
		"the system's CAs":     {same, func(c *tls.Config) { c.RootCAs = nil }, false},
		"no name":              {named(), same, false},
		"another ServerName":   {same, func(c *tls.Config) { c.ServerName = "rig.example" }, false},
		"that ServerName":      {named("rig.example"), func(c *tls.Config) { c.ServerName = "rig.example" }, true},
		"the caller's hook":    {same, func(c *tls.Config) { c.VerifyConnection = func(tls.ConnectionState) error { return io.EOF } }, false},
		"TLS 1.2":              {version(tls.VersionTLS12), same, false},
		"TLS 1.2, minimum 1.1": {version(tls.VersionTLS12), atLeast(tls.VersionTLS11), false},
		"TLS 1.2, allowed":     {version(tls.VersionTLS12), atLeast(tls.VersionTLS12), true},
		"TLS 1.1, minimum 1.2": {version(tls.VersionTLS11), atLeast(tls.VersionTLS12), false},
		"no ALPN":              {speaking(), same, false},
		"the caller's ALPN":    {speaking("h2"), speaking("h2"), false},
		"renegotiation": {version(tls.VersionTLS12), func(c *tls.Config) {
			c.MinVersion, c.Renegotiation = tls.VersionTLS12, tls.RenegotiateFreelyAsClient
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, config := dialer(), serverTLS()
			test.server(config)
			d.TLSConfig.RootCAs = trusting(config.Certificates[0])
			test.client(d.TLSConfig)
			before := d.TLSConfig.Clone()
			err := dialOnce(t, d, config, func(s *session) {
				if test.good {
					honest().login(s)
				} else if sent := s.atEnd(); sent != "" {
					t.Errorf("the client sent %q", sent)
				}
			})
			var refused *ConnectError
			if (err == nil) != test.good || errors.As(err, &refused) == test.good {
				t.Error(err)
			}
			if d.TLSConfig.MinVersion != before.MinVersion || !cmp.Equal(d.TLSConfig.NextProtos, before.NextProtos) || d.TLSConfig.ServerName != before.ServerName {
				t.Error("the caller's configuration was changed")
			}
		})
	}
	if err := dialOnce(t, &Dialer{}, serverTLS(), func(s *session) { s.atEnd() }); err == nil {
		t.Error("a Dialer without a configuration trusts an unknown CA")
	}
}

// crypto/tls has no exporter without extended master secret, nor with renegotiation. Its server always uses
// extended master secret, so this test uses renegotiation.
func TestNoExporter(t *testing.T) {
	t.Parallel()
	config := serverTLS()
	config.MaxVersion = tls.VersionTLS12
	addr := serve(t, config, func(s *session) { s.atEnd() })
	for mode, good := range map[tls.RenegotiationSupport]bool{tls.RenegotiateNever: true, tls.RenegotiateOnceAsClient: false} {
		conn, err := tls.Dial("tcp", addr, &tls.Config{
			RootCAs: trusting(goodCertificate()), MinVersion: tls.VersionTLS12, NextProtos: []string{protocol.ALPN}, Renegotiation: mode,
		})
		check(t, err)
		if err := secure.Acceptable(conn.ConnectionState()); (err == nil) != good {
			t.Error(mode, err)
		}
		conn.Close()
	}
}

func TestInsecureIsRefused(t *testing.T) {
	t.Parallel()
	d := dialer()
	d.TLSConfig.InsecureSkipVerify = true
	d.DialContext = func(context.Context, string, string) (net.Conn, error) {
		t.Error("a connection was made")
		return nil, io.EOF
	}
	var refused *ConnectError
	if c, err := d.Dial(testContext(t), "127.0.0.1:1", alice); !errors.As(err, &refused) {
		t.Error(c, err)
	}
}

// An error never shows plaintext of the server. fixtures/rogue-server has more cases.
func TestPlaintextServers(t *testing.T) {
	t.Parallel()
	for _, banner := range []string{
		"220 sesame ready\r\n", "s", "", "\x00\x00\x00\x00\x00\x00sesame",
		"\x15\x03\x03\x00\x02\x02\x28", "\x16\x03\x03\x00\x06sesame",
	} {
		addr := listen(t, func(raw net.Conn) {
			defer raw.Close()
			hello := make([]byte, 5)
			io.ReadFull(raw, hello)
			io.WriteString(raw, banner)
			raw.(*net.TCPConn).CloseWrite()
			if rest, _ := io.ReadAll(raw); bytes.Contains(rest, []byte("AUTH")) {
				t.Errorf("AUTH in the clear: %q", rest)
			}
		})
		c, err := dialer().Dial(testContext(t), addr, alice)
		var refused *ConnectError
		if !errors.As(err, &refused) || refused.Addr != addr {
			t.Fatal(c, err)
		}
		if text := fmt.Sprintf("%v %+v %#v", err, err, refused.Err); strings.Contains(text, "sesame") || strings.Contains(text, "SSH") {
			t.Errorf("what the server sent is shown: %s", text)
		}
	}
}

func TestConnectErrorIsPrintable(t *testing.T) {
	t.Parallel()
	config := serverTLS()
	pair := certify(key(), func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"\x1b]0;title\x07"} })
	config.Certificates = []tls.Certificate{pair}
	d := &Dialer{TLSConfig: &tls.Config{RootCAs: trusting(pair)}}
	d.TLSConfig.ServerName = "rig.example"
	err := dialOnce(t, d, config, func(s *session) { s.atEnd() })
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\x07") || !strings.Contains(err.Error(), "title") {
		t.Errorf("%q", err)
	}
}

func TestNoConnection(t *testing.T) {
	t.Parallel()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	listener.Close()
	for _, addr := range []string{listener.Addr().String(), "127.0.0.1", "", "::::"} {
		c, err := dialer().Dial(testContext(t), addr, alice)
		var refused *ConnectError
		if !errors.As(err, &refused) {
			t.Error(addr, c, err)
		}
	}
	gone, cancel := context.WithCancel(testContext(t))
	cancel()
	if c, err := dialer().Dial(gone, listener.Addr().String(), alice); !errors.Is(err, context.Canceled) {
		t.Error(c, err)
	}
}

// A program that sends less than the header of a TLS record, and waits, is no reason to wait with it.
func TestPromptOfAnotherProgram(t *testing.T) {
	t.Parallel()
	addr := listen(t, func(raw net.Conn) {
		defer raw.Close()
		io.WriteString(raw, "> ")
		io.Copy(io.Discard, raw)
	})
	c, err := dialer().Dial(testContext(t), addr, alice)
	var refused *ConnectError
	if !errors.As(err, &refused) || errors.Is(err, context.DeadlineExceeded) {
		t.Error(c, err)
	}
}

func TestZoneIsNoPartOfTheName(t *testing.T) {
	t.Parallel()
	config := serverTLS()
	pair := certify(key(), func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP("fe80::1")} })
	config.Certificates = []tls.Certificate{pair}
	addr := serve(t, config, func(s *session) { honest().login(s) })
	d, dialed := &Dialer{TLSConfig: &tls.Config{RootCAs: trusting(pair)}}, ""
	d.DialContext = func(ctx context.Context, network, asked string) (net.Conn, error) {
		dialed = asked
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	c, err := d.Dial(testContext(t), "[fe80::1%eth0]:7443", alice)
	if err != nil || dialed != "[fe80::1%eth0]:7443" {
		t.Fatal(dialed, err)
	}
	c.Close()
	if c, err = d.Dial(testContext(t), "[fe80::2%eth0]:7443", alice); err == nil {
		t.Error("another address is taken for the same", c)
	}
}
