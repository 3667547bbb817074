package certs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/server/certs"
)

func TestEnsureLeavesAForeignCertificate(t *testing.T) {
	t.Parallel()
	dir, other := ensured(t), ensured(t, "other.example")
	for _, name := range []string{certs.CertFile, certs.KeyFile} {
		check(t, os.Rename(filepath.Join(other, name), filepath.Join(dir, name)))
	}
	before := contents(t, dir)
	if warning, err := certs.Ensure(dir, nil, start.Add(360*day)); err != nil || !errors.Is(warning, certs.ErrForeign) {
		t.Errorf("warning %v, error %v", warning, err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestEnsureAtTheEndOfTheCA(t *testing.T) {
	t.Parallel()
	dir := ensured(t)
	end := start.Add(3650 * day)
	mustEnsure(t, dir, end.Add(-10*day))
	if leaf := readCert(t, dir, certs.CertFile); !leaf.NotAfter.Equal(end) {
		t.Errorf("the certificate ends on %v, its CA on %v", leaf.NotAfter, end)
	}
	if warning, err := certs.Ensure(dir, nil, end.Add(-9*day)); !errors.Is(warning, certs.ErrEndsSoon) || err != nil {
		t.Errorf("shortly before: warning %v, error %v", warning, err)
	}
	if _, err := certs.Ensure(dir, nil, end.Add(day)); !errors.Is(err, certs.ErrExpired) || !strings.Contains(err.Error(), certs.CAFile) {
		t.Errorf("after it: %v", err)
	}
	remove(t, dir, certs.CAFile, certs.CAKeyFile, certs.CertFile) // what the error says
	mustEnsure(t, dir, end.Add(day))
	if err := verify(t, dir, "localhost", end.Add(day)); err != nil {
		t.Error(err)
	}
}

func TestEnsureRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	other := ensured(t)
	for _, name := range files {
		for fault, data := range map[string]string{"is another's": contents(t, other)[name], "is junk": "junk", "is empty": ""} {
			dir := ensured(t)
			check(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600))
			if name == certs.CertFile && fault == "is another's" {
				remove(t, dir, certs.CAKeyFile) // not the pair's fault alone
			}
			warning, err := certs.Ensure(dir, nil, start)
			if err == nil || warning != nil || !strings.Contains(err.Error(), filepath.Join(dir, name)) {
				t.Errorf("%s %s: warning %v, error %v", name, fault, warning, err)
			}
		}
	}
	dir := ensured(t)
	remove(t, dir, certs.CertFile)
	check(t, os.WriteFile(filepath.Join(dir, certs.KeyFile), []byte("junk"), 0o600))
	if _, err := certs.Ensure(dir, nil, start); err == nil || !strings.Contains(err.Error(), certs.KeyFile) {
		t.Errorf("a key that is junk, with no certificate: %v", err)
	}
	if _, err := certs.Ensure(filepath.Join(dir, "missing"), nil, start); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
}

func TestEnsureFromManyAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var group sync.WaitGroup
	seen := make([]map[string]string, 8)
	for i := range seen {
		group.Go(func() {
			if _, err := certs.Ensure(dir, nil, start); err != nil {
				t.Error(err)
			}
			seen[i] = contents(t, dir)
		})
	}
	group.Wait()
	for _, one := range seen[1:] {
		if diff := cmp.Diff(seen[0], one); diff != "" {
			t.Fatal(diff)
		}
	}
}
