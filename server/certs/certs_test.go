package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/server/certs"
)

const day = 24 * time.Hour

var (
	start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	files = []string{certs.CAFile, certs.CAKeyFile, certs.CertFile, certs.KeyFile}
)

// ensured is a directory after a first Ensure at start.
func ensured(t *testing.T, hosts ...string) string {
	t.Helper()
	dir := t.TempDir()
	mustEnsure(t, dir, start, hosts...)
	return dir
}

func mustEnsure(t *testing.T, dir string, now time.Time, hosts ...string) {
	t.Helper()
	if warning, err := certs.Ensure(dir, hosts, now); warning != nil || err != nil {
		t.Fatalf("Ensure: warning %v, error %v", warning, err)
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range files {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			all[name] = string(data)
		}
	}
	return all
}

// verify does what a client does with the certificate and the CA of dir.
func verify(t *testing.T, dir, host string, now time.Time) error {
	t.Helper()
	pair, err := certs.Load(filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile), now)
	if err != nil {
		return err
	}
	pool, err := certs.Pool(filepath.Join(dir, certs.CAFile))
	if err != nil {
		return err
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, CurrentTime: now})
	return err
}

func remove(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		check(t, os.Remove(filepath.Join(dir, name)))
	}
}

func TestEnsureMakesWhatAClientTrusts(t *testing.T) {
	t.Parallel()
	dir := ensured(t)
	name, err := os.Hostname()
	check(t, err)
	for _, host := range []string{"localhost", "127.0.0.1", "::1", name} {
		if err := verify(t, dir, host, start); err != nil {
			t.Errorf("as %s: %v", host, err)
		}
	}
	if err := verify(t, dir, "elsewhere.example", start); !errors.As(err, new(x509.HostnameError)) {
		t.Errorf("as a name that it isn't for: %v", err)
	}
	if err := verify(t, dir, "localhost", start.Add(-30*time.Minute)); err != nil {
		t.Errorf("with a clock that is a little behind: %v", err)
	}
	for _, name := range files {
		info, err := os.Stat(filepath.Join(dir, name))
		check(t, err)
		if runtime.GOOS != "windows" && info.Mode() != 0o600 {
			t.Errorf("%s: mode %v", name, info.Mode())
		}
	}
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	dir := ensured(t)
	pair, err := certs.Load(filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile), start)
	check(t, err)
	pool, err := certs.Pool(filepath.Join(dir, certs.CAFile))
	check(t, err)
	clock := func() time.Time { return start }
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go func() {
		_ = tls.Server(far, &tls.Config{Certificates: []tls.Certificate{pair}, Time: clock}).Handshake()
	}()
	if err := tls.Client(near, &tls.Config{RootCAs: pool, ServerName: "localhost", Time: clock}).Handshake(); err != nil {
		t.Error(err)
	}
}

func TestEnsureKeepsToRFC5280(t *testing.T) {
	t.Parallel()
	dir := ensured(t)
	ca, leaf := readCert(t, dir, certs.CAFile), readCert(t, dir, certs.CertFile)
	if !ca.IsCA || !ca.BasicConstraintsValid || ca.MaxPathLen != 0 || !ca.MaxPathLenZero || ca.KeyUsage != x509.KeyUsageCertSign {
		t.Errorf("the CA: IsCA %v, path length %d, key usage %v", ca.IsCA, ca.MaxPathLen, ca.KeyUsage)
	}
	if len(ca.SubjectKeyId) == 0 || !bytes.Equal(ca.SubjectKeyId, leaf.AuthorityKeyId) {
		t.Errorf("key identifiers %x and %x", ca.SubjectKeyId, leaf.AuthorityKeyId)
	}
	if !ca.NotAfter.Equal(start.Add(3650*day)) || !leaf.NotAfter.Equal(start.Add(365*day)) {
		t.Errorf("they end on %v and %v", ca.NotAfter, leaf.NotAfter)
	}
	if leaf.IsCA || !leaf.BasicConstraintsValid || leaf.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("the certificate: IsCA %v, key usage %v", leaf.IsCA, leaf.KeyUsage)
	}
	if diff := cmp.Diff([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, leaf.ExtKeyUsage); diff != "" {
		t.Error(diff)
	}
	for _, c := range []*x509.Certificate{ca, leaf} {
		if key, ok := c.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			t.Errorf("%v has a key of type %T", c.Subject, c.PublicKey)
		}
	}
	for _, ip := range leaf.IPAddresses {
		if ip.IsLinkLocalUnicast() {
			t.Errorf("link-local %v", ip)
		}
	}
}

func readCert(t *testing.T, dir, name string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	check(t, err)
	block, _ := pem.Decode(data)
	c, err := x509.ParseCertificate(block.Bytes)
	check(t, err)
	return c
}

func TestEnsureRenewsInTime(t *testing.T) {
	t.Parallel()
	dir := ensured(t, "rig.example", "*.lab.example", "192.0.2.7")
	before := contents(t, dir)
	mustEnsure(t, dir, start.Add(335*day))
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Fatalf("with 30 days left: %s", diff)
	}
	late := start.Add(335*day + time.Minute)
	mustEnsure(t, dir, late)
	after := contents(t, dir)
	if before[certs.CertFile] == after[certs.CertFile] {
		t.Fatal("with less than 30 days left the certificate wasn't renewed")
	}
	before[certs.CertFile] = after[certs.CertFile]
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("more than the certificate changed: %s", diff)
	}
	for _, host := range []string{"rig.example", "a.lab.example", "192.0.2.7"} {
		if err := verify(t, dir, host, late.Add(364*day)); err != nil {
			t.Errorf("the renewed one as %s: %v", host, err)
		}
	}
	if err := verify(t, dir, "localhost", late); err == nil {
		t.Error("the renewed one has names that its operator didn't ask for")
	}
	mustEnsure(t, dir, late.Add(400*day), "other.example")
	if err := verify(t, dir, "other.example", late.Add(400*day)); err != nil {
		t.Errorf("an expired one, renewed for another name: %v", err)
	}
}

func TestEnsureWithoutTheCAKey(t *testing.T) {
	t.Parallel()
	dir := ensured(t)
	key := contents(t, dir)[certs.CAKeyFile]
	remove(t, dir, certs.CAKeyFile)
	before := contents(t, dir)
	mustEnsure(t, dir, start.Add(335*day))
	soon := start.Add(336 * day)
	if warning, err := certs.Ensure(dir, nil, soon); !errors.Is(warning, certs.ErrEndsSoon) || err != nil {
		t.Errorf("shortly before the end: warning %v, error %v", warning, err)
	}
	if warning, err := certs.Ensure(dir, nil, start.Add(366*day)); warning != nil || !errors.Is(err, certs.ErrNoCAKey) || !strings.Contains(err.Error(), filepath.Join(dir, certs.CAKeyFile)) {
		t.Errorf("after the end: warning %v, error %v", warning, err)
	}
	if err := certs.Issue(dir, nil, start); !errors.Is(err, certs.ErrNoCAKey) {
		t.Errorf("Issue: %v", err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Error(diff)
	}
	check(t, os.WriteFile(filepath.Join(dir, certs.CAKeyFile), []byte(key), 0o600))
	mustEnsure(t, dir, soon)
	if err := verify(t, dir, "localhost", soon.Add(300*day)); err != nil {
		t.Errorf("with the key back: %v", err)
	}
}

// Whatever a run that was cut short, or an operator, has left, the next run completes; a CA without
// its key is the one thing that can't be helped.
func TestEnsureCompletesWhatIsThere(t *testing.T) {
	t.Parallel()
	for missing := range 1 << len(files) {
		dir := ensured(t)
		pool, err := certs.Pool(filepath.Join(dir, certs.CAFile))
		check(t, err)
		var gone []string
		for i, name := range files {
			if missing&(1<<i) != 0 {
				gone = append(gone, name)
			}
		}
		remove(t, dir, gone...)
		check(t, os.WriteFile(filepath.Join(dir, "."+certs.KeyFile+".tmp-1"), []byte("half a k"), 0o600))
		has := func(i int) bool { return missing&(1<<i) == 0 }
		warning, err := certs.Ensure(dir, nil, start)
		switch {
		case has(0) && !has(1) && !(has(2) && has(3)):
			if !errors.Is(err, certs.ErrNoCAKey) {
				t.Errorf("without %v: %v", gone, err)
			}
			continue
		case !has(0) && !has(1) && has(2) && has(3):
			if err != nil || !errors.Is(warning, certs.ErrForeign) {
				t.Errorf("without %v: warning %v, error %v", gone, warning, err)
			}
			continue
		case err != nil || warning != nil:
			t.Errorf("without %v: warning %v, error %v", gone, warning, err)
		}
		if err := verify(t, dir, "localhost", start); err != nil {
			t.Errorf("without %v: %v", gone, err)
		}
		// Who has the CA already goes on with it, as long as its key is there.
		_, err = readCert(t, dir, certs.CertFile).Verify(x509.VerifyOptions{Roots: pool, CurrentTime: start})
		if (has(0) || has(1)) != (err == nil) {
			t.Errorf("without %v, with the first CA: %v", gone, err)
		}
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
