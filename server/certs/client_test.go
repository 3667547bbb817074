package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/certs"
)

func clientPair(t *testing.T, dir, name string) tls.Certificate {
	t.Helper()
	certFile, keyFile, err := certs.IssueClient(dir, name, start)
	check(t, err)
	pair, err := certs.Load(certFile, keyFile, start)
	check(t, err)
	return pair
}

func TestIssueClient(t *testing.T) {
	t.Parallel()
	dir := ensured(t)
	for name, file := range map[string]string{
		"alice":      "client-alice",
		"a.B-c_9":    "client-a.B-c_9",
		"../../etc":  "client-..%2F..%2Fetc",
		"jos\u00e9":  "client-jos%C3%A9",
		"o'neil %41": "client-o%27neil%20%2541",
	} {
		certFile, keyFile, err := certs.IssueClient(dir, name, start)
		check(t, err)
		if certFile != filepath.Join(dir, file+".pem") || keyFile != filepath.Join(dir, file+"-key.pem") {
			t.Errorf("%q: %s, %s", name, certFile, keyFile)
		}
		pair, err := certs.Load(certFile, keyFile, start.Add(364*day))
		check(t, err)
		if pair.Leaf.Subject.CommonName != name || pair.Leaf.IsCA || len(pair.Leaf.DNSNames) > 0 {
			t.Errorf("%q: %v", name, pair.Leaf.Subject)
		}
		for _, file := range []string{certFile, keyFile} {
			if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
				t.Errorf("%s: %v, %v", file, info.Mode(), err)
			}
		}
	}
	if pair := clientPair(t, dir, "I\u00adX"); pair.Leaf.Subject.CommonName != "IX" { // a soft hyphen, RFC 4013 §2.1
		t.Errorf("not prepared: %q", pair.Leaf.Subject.CommonName)
	}
	for _, name := range []string{"", "a\x00b", "a\nb", "\xff", strings.Repeat("a", scram.MaxName+1)} {
		if _, _, err := certs.IssueClient(dir, name, start); !errors.Is(err, certs.ErrName) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}

func TestIssueClientAgain(t *testing.T) {
	t.Parallel()
	dir := ensured(t)
	first, again := clientPair(t, dir, "alice"), clientPair(t, dir, "alice")
	if !first.PrivateKey.(*ecdsa.PrivateKey).Equal(again.PrivateKey) || first.Leaf.SerialNumber.Cmp(again.Leaf.SerialNumber) == 0 {
		t.Error("it is not a new certificate for the same key")
	}
	before := contents(t, dir)
	remove(t, dir, certs.CAKeyFile)
	if _, _, err := certs.IssueClient(dir, "bob", start); !errors.Is(err, certs.ErrNoCAKey) {
		t.Errorf("without the key of the CA: %v", err)
	}
	check(t, os.WriteFile(filepath.Join(dir, certs.CAKeyFile), []byte(before[certs.CAKeyFile]), 0o600))
	if _, _, err := certs.IssueClient(dir, "bob", start.Add(4000*day)); !errors.Is(err, certs.ErrExpired) {
		t.Errorf("after the end of the CA: %v", err)
	}
	late := start.Add(3640 * day)
	certFile, _, err := certs.IssueClient(dir, "bob", late)
	check(t, err)
	if leaf, err := certs.Read(certFile); err != nil || !leaf.NotAfter.Equal(start.Add(3650*day)) {
		t.Errorf("it ends after the CA: %v, %v", leaf.NotAfter, err)
	}
}

// The key of "a" and the certificate of "a-key" have one file name.
func TestIssueClientOverwritesNobody(t *testing.T) {
	t.Parallel()
	for _, names := range [][2]string{{"a", "a-key"}, {"a-key", "a"}} {
		dir := ensured(t)
		clientPair(t, dir, names[0])
		before := contents(t, dir)
		if _, _, err := certs.IssueClient(dir, names[1], start); !errors.Is(err, certs.ErrTaken) {
			t.Errorf("%s after %s: %v", names[1], names[0], err)
		}
		for file, text := range contents(t, dir) {
			if before[file] != text {
				t.Errorf("%s after %s changed %s", names[1], names[0], file)
			}
		}
	}
}

// A handshake needs a certificate of its kind on each side, though one CA has signed both.
func TestDemandClient(t *testing.T) {
	t.Parallel()
	dir, other := ensured(t), ensured(t)
	own, err := certs.LoadOwn(dir, start)
	check(t, err)
	alice := clientPair(t, dir, "alice")
	late, lateKey, err := certs.IssueClient(dir, "late", start.Add(-400*day))
	check(t, err)
	expired, err := certs.ReadPair(late, lateKey)
	check(t, err)
	for name, test := range map[string]struct {
		server, client tls.Certificate
		want           string // the server's error, or the client's
	}{
		"right":                              {own, alice, ""},
		"none":                               {own, tls.Certificate{}, "didn't provide a certificate"},
		"of another CA":                      {own, clientPair(t, other, "alice"), "unknown authority"},
		"expired":                            {own, expired, "expired"},
		"the server's, in a client's place":  {own, own, "incompatible key usage"},
		"a client's, in the server's place":  {ofCA(t, dir, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}), alice, "incompatible key usage"},
		"for no purpose, of the CA":          {own, ofCA(t, dir, nil), certs.ErrNoClient.Error()},
		"for any purpose":                    {own, ofCA(t, dir, []x509.ExtKeyUsage{x509.ExtKeyUsageAny}), certs.ErrNoClient.Error()},
		"for clients, of the CA":             {own, ofCA(t, dir, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}), ""},
		"for servers and clients, of the CA": {own, ofCA(t, dir, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := func() time.Time { return start }
			server := &tls.Config{Certificates: []tls.Certificate{test.server}, Time: now}
			cas, err := certs.ClientCAs(filepath.Join(dir, certs.CAFile))
			check(t, err)
			certs.DemandClient(server, cas)
			roots, err := certs.Pool(filepath.Join(dir, certs.CAFile))
			check(t, err)
			err = shake(t, server, &tls.Config{
				RootCAs: roots, ServerName: "localhost", Time: now,
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &test.client, nil },
			})
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, wanted %q", err, test.want)
			}
		})
	}
}

// ofCA returns a certificate that the CA in dir has signed for these purposes.
func ofCA(t *testing.T, dir string, purposes []x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	ca, err := certs.ReadPair(filepath.Join(dir, certs.CAFile), filepath.Join(dir, certs.CAKeyFile))
	check(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alice"}, ExtKeyUsage: purposes, DNSNames: []string{"localhost"},
		NotBefore: start.Add(-day), NotAfter: start.Add(day), KeyUsage: x509.KeyUsageDigitalSignature,
	}, ca.Leaf, key.Public(), ca.PrivateKey)
	check(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// shake makes a connection. It returns the error of the client's handshake, or else that of the server's.
func shake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	check(t, err)
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = conn.(*tls.Conn).Handshake()
			conn.Close()
		}
		done <- err
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		return err
	}
	defer conn.Close()
	return <-done
}

func TestCheckClient(t *testing.T) {
	t.Parallel()
	name := func(values ...any) *x509.Certificate {
		c := &x509.Certificate{DNSNames: []string{"alice"}, EmailAddresses: []string{"alice"}}
		c.Subject.Names = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "alice"}}
		for _, v := range values {
			c.Subject.Names = append(c.Subject.Names, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: v})
		}
		return c
	}
	for label, test := range map[string]struct {
		cert *x509.Certificate
		user string
		want error
	}{
		"the user's":                 {name("alice"), "alice", nil},
		"the user's after SASLprep":  {name("\u2168\u00ad"), "IX", nil},
		"another user's":             {name("bob"), "alice", certs.ErrNotUser},
		"in capitals":                {name("Alice"), "alice", certs.ErrNotUser},
		"with a space behind":        {name("alice "), "alice", certs.ErrNotUser},
		"without a common name":      {name(), "alice", certs.ErrNotUser},
		"with two common names":      {name("alice", "bob"), "alice", certs.ErrNotUser},
		"with two that are the same": {name("alice", "alice"), "alice", certs.ErrNotUser},
		"an empty one":               {name(""), "", certs.ErrNotUser},
		"a prohibited one":           {name("a\u0007"), "a\u0007", certs.ErrNotUser},
		"no text":                    {name(7), "7", certs.ErrNotUser},
		"a long one":                 {name(strings.Repeat("a", scram.MaxName+1)), strings.Repeat("a", scram.MaxName+1), certs.ErrNotUser},
		"none":                       {nil, "alice", certs.ErrNoClient},
	} {
		var state tls.ConnectionState
		if test.cert != nil {
			state.PeerCertificates = []*x509.Certificate{test.cert, name("alice")}
		}
		if err := certs.CheckClient(test.user, state); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", label, err)
		}
	}
	dir := ensured(t)
	issued := clientPair(t, dir, "jos\u00e9")
	if err := certs.CheckClient("jos\u00e9", tls.ConnectionState{PeerCertificates: []*x509.Certificate{issued.Leaf}}); err != nil {
		t.Errorf("an issued one: %v", err)
	}
}

func TestClientCAs(t *testing.T) {
	t.Parallel()
	dir := ensured(t)
	clientPair(t, dir, "alice")
	all := contents(t, dir)
	alice, err := os.ReadFile(filepath.Join(dir, "client-alice.pem"))
	check(t, err)
	mixed := filepath.Join(dir, "mixed")
	check(t, os.WriteFile(mixed, []byte(all[certs.CAKeyFile]+all[certs.CAFile]+all[certs.CAFile]), 0o600))
	for _, file := range []string{filepath.Join(dir, certs.CAFile), mixed} {
		if _, err := certs.ClientCAs(file); err != nil {
			t.Error(err)
		}
	}
	check(t, os.WriteFile(mixed, []byte(all[certs.CAFile]+string(alice)), 0o600))
	for file, want := range map[string]error{
		mixed:                              certs.ErrNotCA,
		filepath.Join(dir, certs.CertFile): certs.ErrNotCA,
		filepath.Join(dir, certs.KeyFile):  certs.ErrNoCertificate,
		filepath.Join(dir, "nosuch"):       fs.ErrNotExist,
	} {
		pool, err := certs.ClientCAs(file)
		if !errors.Is(err, want) || pool == nil || !pool.Equal(x509.NewCertPool()) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestLoadOwnHasTheCA(t *testing.T) {
	t.Parallel()
	dir, other := ensured(t), ensured(t)
	pair, err := certs.LoadOwn(dir, start)
	check(t, err)
	ca, err := certs.Read(filepath.Join(dir, certs.CAFile))
	check(t, err)
	if len(pair.Certificate) != 2 || string(pair.Certificate[1]) != string(ca.Raw) {
		t.Errorf("the chain has %d certificates", len(pair.Certificate))
	}
	if _, err := certs.LoadOwn(dir, start.Add(400*day)); !errors.Is(err, certs.ErrExpired) {
		t.Errorf("an expired one: %v", err)
	}
	check(t, os.WriteFile(filepath.Join(dir, certs.CAFile), []byte(contents(t, other)[certs.CAFile]), 0o600))
	if pair, err = certs.LoadOwn(dir, start); err != nil || len(pair.Certificate) != 1 {
		t.Errorf("beside another CA: %d, %v", len(pair.Certificate), err)
	}
	remove(t, dir, certs.CAFile)
	if pair, err = certs.LoadOwn(dir, start); err != nil || len(pair.Certificate) != 1 {
		t.Errorf("without a CA: %d, %v", len(pair.Certificate), err)
	}
}
