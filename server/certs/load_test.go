package certs_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/server/certs"
)

func TestIssue(t *testing.T) {
	t.Parallel()
	dir := ensured(t)
	check(t, certs.Issue(dir, []string{"rig.example", "2001:db8::7", "under_score.example"}, start))
	for _, host := range []string{"rig.example", "2001:db8::7", "under_score.example"} {
		if err := verify(t, dir, host, start); err != nil {
			t.Errorf("as %s: %v", host, err)
		}
	}
	if err := verify(t, dir, "localhost", start); err == nil {
		t.Error("it is still for localhost")
	}
	before := contents(t, dir)
	long := strings.Repeat("a.", 130) + "example"
	for _, host := range []string{"", " ", "a b", "host:7443", "https://host", "a..b", ".a", "a.", "-a", "fe80::1%eth0", "1.2.3.4/8", "ü.example", "*", "*.", "a.*.b", strings.Repeat("a", 64), long, "a\n"} {
		if err := certs.Issue(dir, []string{"good.example", host}, start); !errors.Is(err, certs.ErrHost) {
			t.Errorf("for %q: %v", host, err)
		}
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("a refused host changed something: %s", diff)
	}
	remove(t, dir, certs.KeyFile)
	check(t, certs.Issue(dir, nil, start))
	if contents(t, dir)[certs.KeyFile] == before[certs.KeyFile] {
		t.Error("the old key came back")
	}
	fresh := t.TempDir()
	check(t, certs.Issue(fresh, []string{"rig.example"}, start))
	if err := verify(t, fresh, "rig.example", start); err != nil {
		t.Errorf("in a new directory: %v", err)
	}
}

func TestLoadNamesTheFault(t *testing.T) {
	t.Parallel()
	dir, other := ensured(t), ensured(t)
	cert, key := filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile)
	pair, err := certs.Load(cert, key, start)
	if err != nil || pair.Leaf == nil || pair.Leaf.DNSNames[0] != "localhost" {
		t.Fatalf("the control: %v, %v", pair.Leaf, err)
	}
	junk := filepath.Join(dir, "junk")
	check(t, os.WriteFile(junk, []byte("junk"), 0o600))
	for _, c := range []struct {
		fault, cert, key string
		now              time.Time
		is               error
		says             []string
	}{
		{"missing certificate", junk + "x", key, start, fs.ErrNotExist, []string{junk + "x"}},
		{"missing key", cert, junk + "x", start, fs.ErrNotExist, []string{junk + "x"}},
		{"certificate not PEM", junk, key, start, nil, []string{junk}},
		{"key not PEM", cert, junk, start, nil, []string{junk}},
		{"key for a certificate", key, key, start, nil, []string{key}},
		{"other key", cert, filepath.Join(other, certs.KeyFile), start, nil, []string{cert, filepath.Join(other, certs.KeyFile), "match"}},
		{"expired", cert, key, start.Add(366 * day), certs.ErrExpired, []string{cert, "2031-01-02"}},
		{"not yet valid", cert, key, start.Add(-2 * time.Hour), certs.ErrNotYetValid, []string{cert, "2030-01-02"}},
	} {
		pair, err := certs.Load(c.cert, c.key, c.now)
		if err == nil || pair.PrivateKey != nil || (c.is != nil && !errors.Is(err, c.is)) {
			t.Errorf("%s: %v", c.fault, err)
			continue
		}
		for _, word := range c.says {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q is not in: %v", c.fault, word, err)
			}
		}
	}
}

func TestLoadRefusesAnExposedKey(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("permissions are elsewhere")
	}
	dir := ensured(t)
	cert, key := filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile)
	for mode, good := range map[fs.FileMode]bool{0o400: true, 0o600: true, 0o640: true, 0o644: false, 0o660: false, 0o604: false, 0o602: false} {
		check(t, os.Chmod(key, mode))
		if _, err := certs.Load(cert, key, start); errors.Is(err, certs.ErrExposedKey) == good || good != (err == nil) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

func TestLoadTakesEveryKindOfKey(t *testing.T) {
	t.Parallel()
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	for _, key := range []crypto.Signer{edKey, rsaKey} {
		template := &x509.Certificate{Subject: pkix.Name{CommonName: "x"}, NotBefore: start, NotAfter: start.Add(day)}
		cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		check(t, err)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		check(t, err)
		file := filepath.Join(t.TempDir(), "both.pem") // the key first, in one file
		data := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...)
		check(t, os.WriteFile(file, data, 0o600))
		if pair, err := certs.Load(file, file, start); err != nil || pair.Leaf == nil {
			t.Errorf("%T: %v", key, err)
		}
	}
}

func TestPool(t *testing.T) {
	t.Parallel()
	dir := ensured(t)
	if _, err := certs.Pool(filepath.Join(dir, certs.CAFile)); err != nil {
		t.Error(err)
	}
	if pool, err := certs.Pool(filepath.Join(dir, certs.KeyFile)); !errors.Is(err, certs.ErrNoCertificate) || !pool.Equal(x509.NewCertPool()) {
		t.Errorf("a file without a certificate: %v, %v", pool, err)
	}
	if pool, err := certs.Pool(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) || !pool.Equal(x509.NewCertPool()) {
		t.Errorf("a missing file: %v, %v", pool, err)
	}
}
