package pin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/pin"
	"github.com/sallyport/sallyport/protocol"
)

// authority is a CA, or what a server passes off as one.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func sign(t *testing.T, by *authority, change func(*x509.Certificate)) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	change(template)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return &authority{cert, key}
}

func ca(*x509.Certificate) {}

func leaf(c *x509.Certificate) {
	c.Subject.CommonName, c.KeyUsage, c.IsCA = "server", x509.KeyUsageDigitalSignature, false
	c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// server serves TLS with the chain, whose first member has the key. It reports the bytes above TLS that it reads.
func server(t *testing.T, key *ecdsa.PrivateKey, chain ...*x509.Certificate) (addr string, read <-chan int64) {
	t.Helper()
	pair := tls.Certificate{PrivateKey: key}
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol.ALPN}, ClientAuth: tls.RequestClientCert,
	})
	check(t, err)
	t.Cleanup(func() { l.Close() })
	counts := make(chan int64, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, conn)
			counts <- n
			conn.Close()
		}
	}()
	return l.Addr().String(), counts
}

func TestFetch(t *testing.T) {
	t.Parallel()
	root := sign(t, nil, ca)
	own := sign(t, root, leaf)
	middle := sign(t, root, func(c *x509.Certificate) { c.Subject.CommonName = "middle" })
	below := sign(t, middle, leaf)
	namesake := sign(t, nil, ca)
	selfSigned := sign(t, nil, leaf)
	selfSignedCA := sign(t, nil, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	noCA := sign(t, nil, func(c *x509.Certificate) { c.IsCA = false })
	noSigner := sign(t, nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	for name, test := range map[string]struct {
		pinned *authority
		want   error
		own    *authority
		rest   []*authority
	}{
		"the CA":                                {root, nil, own, []*authority{root}},
		"the CA behind another one":             {root, nil, below, []*authority{middle, root}},
		"the CA in the middle":                  {middle, nil, below, []*authority{middle}},
		"another CA":                            {namesake, pin.ErrNotFound, own, []*authority{root}},
		"a chain without the CA":                {root, pin.ErrNotFound, own, nil},
		"the server's own certificate":          {own, pin.ErrNotCA, own, []*authority{root}},
		"its own, which it has signed itself":   {selfSigned, pin.ErrNotCA, selfSigned, nil},
		"its own, which is a CA":                {selfSignedCA, pin.ErrNotCA, selfSignedCA, nil},
		"a leaf behind its own":                 {selfSigned, pin.ErrNotCA, own, []*authority{selfSigned}},
		"no CA by its basic constraints":        {noCA, pin.ErrNotCA, own, []*authority{noCA}},
		"a CA that may not sign certificates":   {noSigner, pin.ErrNotCA, own, []*authority{noSigner}},
		"the CA, and another one with its name": {root, pin.ErrTwoNames, own, []*authority{root, namesake}},
		"another one with its name, and the CA": {root, pin.ErrTwoNames, own, []*authority{namesake, root}},
		"the CA twice":                          {root, pin.ErrTwoNames, own, []*authority{root, root}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chain := []*x509.Certificate{test.own.cert}
			for _, c := range test.rest {
				chain = append(chain, c.cert)
			}
			addr, read := server(t, test.own.key, chain...)
			found, err := pin.Of(test.pinned.cert).Fetch(t.Context(), client.Dialer{}, addr)
			_, refused := errors.AsType[*client.ConnectError](err)
			switch {
			case !errors.Is(err, test.want) || refused != (test.want != nil):
				t.Errorf("the error %v, wanted %v", err, test.want)
			case err == nil && !found.Equal(test.pinned.cert):
				t.Error("found another certificate")
			}
			if n := <-read; n != 0 {
				t.Errorf("the server got %d bytes", n)
			}
		})
	}
}

// What a CA does not vouch for is refused by the connection that trusts the CA alone.
func TestTheConnectionAfterIsChecked(t *testing.T) {
	t.Parallel()
	root, namesake := sign(t, nil, ca), sign(t, nil, ca)
	for name, test := range map[string]struct {
		own  *authority
		good bool
	}{
		"of the CA":                {sign(t, root, leaf), true},
		"of another with its name": {sign(t, namesake, leaf), false},
		"for another name":         {sign(t, root, func(c *x509.Certificate) { leaf(c); c.IPAddresses = nil; c.DNSNames = []string{"rig"} }), false},
		"expired":                  {sign(t, root, func(c *x509.Certificate) { leaf(c); c.NotAfter = time.Now().Add(-time.Minute) }), false},
		"for clients": {sign(t, root, func(c *x509.Certificate) {
			leaf(c)
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, _ := server(t, test.own.key, test.own.cert, root.cert)
			found, err := pin.Of(root.cert).Fetch(t.Context(), client.Dialer{}, addr)
			check(t, err)
			roots := x509.NewCertPool()
			roots.AddCert(found)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots, NextProtos: []string{protocol.ALPN}}}).DialContext(ctx, "tcp", addr)
			if (err == nil) != test.good {
				t.Error(err)
			}
			if err == nil {
				conn.Close()
			}
		})
	}
}

// The dialer's sessions, roots and certificate are for the connection that follows.
func TestFetchUsesNothingOfTheDialer(t *testing.T) {
	t.Parallel()
	root := sign(t, nil, ca)
	own := sign(t, root, leaf)
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	addr, read := server(t, own.key, own.cert, root.cert)
	asked := false
	config := &tls.Config{
		RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(1), ServerName: "127.0.0.1", NextProtos: []string{protocol.ALPN},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return &tls.Certificate{}, nil
		},
	}
	conn, err := tls.Dial("tcp", addr, config)
	check(t, err)
	_, err = conn.Write([]byte("hello"))
	check(t, err)
	check(t, conn.CloseWrite())
	_, _ = io.Copy(io.Discard, conn) // takes the ticket
	check(t, conn.Close())
	if n := <-read; n != 5 || !asked {
		t.Fatal("control:", n, asked)
	}
	asked = false
	if _, err := pin.Of(root.cert).Fetch(t.Context(), client.Dialer{TLSConfig: config}, addr); err != nil || asked {
		t.Error(err, asked)
	}
	if n := <-read; n != 0 {
		t.Errorf("the server got %d bytes", n)
	}
	if config.RootCAs != roots || config.ClientSessionCache == nil {
		t.Error("the configuration was changed")
	}
}

func TestFetchFailsLikeDial(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	check(t, l.Close())
	_, err = pin.Pin{}.Fetch(t.Context(), client.Dialer{}, l.Addr().String())
	if _, ok := errors.AsType[*client.ConnectError](err); !ok || errors.Is(err, pin.ErrNotFound) {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	want := pin.Of(sign(t, nil, ca).cert)
	text := want.String()
	if got, err := pin.Parse(text); err != nil || got != want || len(text) != len("SHA256:")+43 {
		t.Errorf("%s: %v, %v", text, got, err)
	}
	for _, bad := range []string{
		"", "SHA256:", text[7:], "sha256:" + text[7:], "SHA1:" + text[7:], text + "=", text[:len(text)-1], text + "A", " " + text,
		text + "\n", text[:20] + "\n" + text[20:], "SHA256:" + strings.Repeat("-", 43), "SHA256:" + strings.Repeat("A", 42) + "B",
	} {
		if _, err := pin.Parse(bad); !errors.Is(err, pin.ErrForm) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
