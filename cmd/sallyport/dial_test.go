package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/client"
)

func TestHintSaysWhatHappened(t *testing.T) {
	t.Parallel()
	f := &dialFlags{addr: "rig"}
	connecting := func(err error) error { return &client.ConnectError{Addr: "rig:7443", Err: err} }
	dial := func(err error) error { return connecting(&net.OpError{Op: "dial", Net: "tcp", Err: err}) }
	for want, err := range map[string]error{
		"no connection to rig:7443: it sent no TLS handshake in time: is it a TLS port?": connecting(context.DeadlineExceeded),
		"no connection to rig:7443: it closed the connection during the handshake":       connecting(fmt.Errorf("no close_notify: %w", io.ErrUnexpectedEOF)),
		"too many from your address":                    connecting(&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}),
		"no connection to rig:7443: no route":           dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)),
		"no connection to rig:7443: i/o timeout":        dial(os.ErrDeadlineExceeded),
		"is a server running there?":                    dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)),
		"the server did not complete the login in time": context.DeadlineExceeded,
		"something else":                                errors.New("something else"),
	} {
		got := f.hint(err)
		if !strings.Contains(strings.ToLower(message(got)), strings.ToLower(want)) || !errors.Is(got, err) || exitCode(got) != exitCode(err) {
			t.Errorf("%v: %s", err, message(got))
		}
	}
}

// pssAuthority returns a CA whose key is for RSASSA-PSS only (RFC 4055), and a certificate that it has signed.
// crypto/x509 can't make such a CA: this one gets the algorithm of its key in place of rsaEncryption.
func pssAuthority(t *testing.T) (inPEM []byte, pair tls.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
		SignatureAlgorithm: x509.SHA256WithRSAPSS,
	}
	ca, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := x509.ParseCertificate(ca)
	if err != nil {
		t.Fatal(err)
	}
	leaf := *template
	leaf.Subject.CommonName, leaf.IsCA, leaf.IPAddresses = "leaf", false, []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, &leaf, authority, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	rsaEncryption := []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1}
	forPSS := bytes.Replace(ca, rsaEncryption, append(rsaEncryption[:10:10], 10), 1)
	changed, err := x509.ParseCertificate(forPSS)
	if err != nil || changed.PublicKeyAlgorithm != x509.UnknownPublicKeyAlgorithm {
		t.Fatal(changed, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: forPSS}), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestHintOfAnRSAPSSAuthority(t *testing.T) {
	t.Parallel()
	inPEM, pair := pssAuthority(t)
	f := &dialFlags{trustFlags: trustFlags{ca: filepath.Join(t.TempDir(), "ca.pem"), tlsMin: "1.3"}}
	if err := os.WriteFile(f.ca, inPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := f.tlsConfig()
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"sallyport/1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	d := client.Dialer{TLSConfig: config}
	_, err = d.Dial(t.Context(), l.Addr().String(), client.Credentials{Username: "alice", Password: "x"})
	f.addr = l.Addr().String()
	text := message(f.hint(err))
	if !strings.Contains(text, "the CA may be the right one") || !strings.Contains(text, "RSASSA-PSS") || strings.Contains(text, "is not the CA") {
		t.Error(text)
	}
	if err := os.WriteFile(f.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	if text := message(f.hint(err)); !strings.Contains(text, "is not the CA") {
		t.Error("control:", text)
	}
}

func TestMessageKeepsFileNames(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"client: connection lost: tls: bad record":                  "connection lost: bad record",
		fileName("state") + ": not empty":                           "./state: not empty",
		fileName("log.jsonl") + ": no log":                          "log.jsonl: no log",
		"open users: permission denied":                             "users: permission denied",
		"a: stat users: no such file":                               "a: users: no such file",
		"can't open the door":                                       "can't open the door",
		"no gate can be reached: client: no answer; client: no TLS": "no gate can be reached: no answer; no TLS",
	} {
		if got := message(errors.New(in)); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	known := []string{
		"SALLYPORT_QUEUE_DEPTH=3", "SALLYPORT_ADDR=", "SALLYPORT_NEED=tshark", "SALLYPORT_ACTIVE_HELP=0", "HOME=/", "XSALLYPORT_A=1",
		// Kubernetes
		"SALLYPORT_SERVICE_HOST=10.0.0.1", "SALLYPORT_SERVICE_PORT=7443", "SALLYPORT_SERVICE_PORT_TLS=7443", "SALLYPORT_PORT=tcp://10.0.0.1:7443",
		"SALLYPORT_PORT_7443_TCP=tcp://10.0.0.1:7443", "SALLYPORT_PORT_7443_TCP_ADDR=10.0.0.1", "SALLYPORT_LAB_2_PORT=udp://[::1]:1",
	}
	unknown := []string{"SALLYPORT_QUEUEDEPTH=3", "SALLYPORT_PORT=7443", "SALLYPORT_=", "sallyport_x=", "SALLYPORT_SERVICE=x"}
	got := unknownVariables(rootCommand(), append(known, unknown...))
	if fmt.Sprint(got) != "[SALLYPORT_QUEUEDEPTH SALLYPORT_PORT SALLYPORT_ SALLYPORT_SERVICE]" {
		t.Error(got)
	}
}

func TestWithPort(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"rig": "rig:7443", "rig:1": "rig:1", "::1": "[::1]:7443", "[::1]": "[::1]:7443", "[::1]:1": "[::1]:1",
		"fe80::1%eth0": "[fe80::1%eth0]:7443", "[fe80::1%eth0]": "[fe80::1%eth0]:7443", "a:b:c": "a:b:c",
	} {
		if got := withPort(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}
