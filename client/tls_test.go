package client

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/protocol"
)

func TestCertificates(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		certificate tls.Certificate
		change      func(*Dialer)
		good        bool
	}{
		"good":             {certificate: trusted().issue(nil), good: true},
		"expired":          {certificate: trusted().issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })},
		"not yet valid":    {certificate: trusted().issue(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })},
		"wrong address":    {certificate: trusted().issue(func(c *x509.Certificate) { c.IPAddresses = []net.IP{{127, 0, 0, 2}} })},
		"no name":          {certificate: trusted().issue(func(c *x509.Certificate) { c.IPAddresses = nil })},
		"wrong usage":      {certificate: trusted().issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })},
		"unknown CA":       {certificate: foreign().issue(nil)},
		"the system's CAs": {certificate: trusted().issue(nil), change: func(d *Dialer) { d.TLSConfig = nil }},
		"another ServerName": {
			certificate: trusted().issue(nil), change: func(d *Dialer) { d.TLSConfig.ServerName = "rig.example" },
		},
		"that ServerName": {
			certificate: trusted().issue(func(c *x509.Certificate) { c.DNSNames = []string{"rig.example"} }),
			change:      func(d *Dialer) { d.TLSConfig.ServerName = "rig.example" }, good: true,
		},
		"the caller's hook": {certificate: trusted().issue(nil), change: func(d *Dialer) {
			d.TLSConfig.VerifyConnection = func(tls.ConnectionState) error { return errors.New("not this one") }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, config := dialer(), serverTLS()
			config.Certificates = []tls.Certificate{test.certificate}
			if test.change != nil {
				test.change(d)
			}
			err := dialOnce(t, d, config, func(s *session) {
				if !test.good {
					if sent := s.atEnd(); sent != "" {
						t.Errorf("the client sent %q", sent)
					}
					return
				}
				honest().login(s)
			})
			var refused *ConnectError
			if (err == nil) != test.good || errors.As(err, &refused) == test.good {
				t.Error(err)
			}
		})
	}
}

func TestTLSMustBe(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		server func(*tls.Config)
		client func(*tls.Config)
		good   bool
	}{
		"good":                 {func(*tls.Config) {}, func(*tls.Config) {}, true},
		"TLS 1.2":              {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, func(*tls.Config) {}, false},
		"TLS 1.2, minimum 1.1": {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, func(c *tls.Config) { c.MinVersion = tls.VersionTLS11 }, false},
		"TLS 1.2, allowed":     {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }, true},
		"TLS 1.1": {
			func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 },
			func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }, false,
		},
		"no ALPN":           {func(c *tls.Config) { c.NextProtos = nil }, func(*tls.Config) {}, false},
		"another ALPN":      {func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }, func(*tls.Config) {}, false},
		"the caller's ALPN": {func(c *tls.Config) { c.NextProtos = []string{"h2"} }, func(c *tls.Config) { c.NextProtos = []string{"h2"} }, false},
		"renegotiation": {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, func(c *tls.Config) {
			c.MinVersion, c.Renegotiation = tls.VersionTLS12, tls.RenegotiateFreelyAsClient
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, config := dialer(), serverTLS()
			test.server(config)
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
			if d.TLSConfig.MinVersion != before.MinVersion || !cmp.Equal(d.TLSConfig.NextProtos, before.NextProtos) || d.TLSConfig.ServerName != "" {
				t.Error("the caller's configuration was changed")
			}
		})
	}
}

// crypto/tls gives no exporter without extended master secret, and none with
// renegotiation, which stands for it here because its server can't do without.
func TestNoExporter(t *testing.T) {
	t.Parallel()
	config := serverTLS()
	config.MaxVersion = tls.VersionTLS12
	addr := serve(t, config, func(s *session) { s.atEnd() })
	for mode, good := range map[tls.RenegotiationSupport]bool{tls.RenegotiateNever: true, tls.RenegotiateOnceAsClient: false} {
		conn, err := tls.Dial("tcp", addr, &tls.Config{
			RootCAs: trusted().pool(), MinVersion: tls.VersionTLS12, NextProtos: []string{protocol.ALPN}, Renegotiation: mode,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := acceptable(conn.ConnectionState()); (err == nil) != good {
			t.Error(mode, err)
		}
		conn.Close()
	}
}

func TestEd25519HasNoEndPoint(t *testing.T) {
	t.Parallel()
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	cert := template("self-signed")
	cert.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	cert.IsCA, cert.BasicConstraintsValid = true, true
	cert.KeyUsage |= x509.KeyUsageCertSign
	der := must(x509.CreateCertificate(rand.Reader, cert, cert, public, private))
	roots := x509.NewCertPool()
	roots.AddCert(must(x509.ParseCertificate(der)))
	for _, test := range []struct {
		version uint16
		mode    BindingMode
		want    error
	}{
		{tls.VersionTLS12, BindingRequired, ErrBindingUnavailable},
		{tls.VersionTLS12, BindingNone, nil},
		{tls.VersionTLS13, BindingRequired, nil},
	} {
		config := serverTLS()
		config.Certificates, config.MaxVersion = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, test.version
		d := &Dialer{TLSConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ChannelBinding: test.mode}
		err := dialOnce(t, d, config, func(s *session) {
			if test.want == nil {
				honest().login(s)
			} else if sent := s.atEnd(); sent != "" {
				t.Errorf("the client sent %q", sent)
			}
		})
		if !errors.Is(err, test.want) {
			t.Error(test, err)
		}
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

// What comes in the clear is shown to nobody.
func TestPlaintextServers(t *testing.T) {
	t.Parallel()
	for _, banner := range []string{
		"SSH-2.0-sesame\r\n", "220 sesame ready\r\n", "HTTP/1.1 400 sesame\r\n\r\n", "235 sesame\r\n", "s", "", "\x00\x00\x00\x00\x00\x00sesame",
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
			t.Errorf("the server's octets are shown: %s", text)
		}
	}
}

func TestConnectErrorIsPrintable(t *testing.T) {
	t.Parallel()
	config := serverTLS()
	config.Certificates = []tls.Certificate{trusted().issue(func(c *x509.Certificate) {
		c.IPAddresses, c.DNSNames = nil, []string{"\x1b]0;title\x07"}
	})}
	d := dialer()
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
