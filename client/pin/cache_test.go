package pin_test

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/sallyport/sallyport/client/pin"
)

func TestCache(t *testing.T) {
	t.Parallel()
	root := sign(t, nil, ca).cert
	p := pin.Of(root)
	cache := pin.Cache{Dir: filepath.Join(t.TempDir(), "a", "sallyport")}
	if _, err := cache.Load(p); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before: %v", err)
	}
	check(t, cache.Store(root))
	check(t, cache.Store(root))
	if got, err := cache.Load(p); err != nil || !got.Equal(root) {
		t.Errorf("after: %v", err)
	}
	all, err := os.ReadDir(cache.Dir)
	check(t, err)
	if len(all) != 1 || all[0].Name() != "ca-"+hex.EncodeToString(p[:])+".pem" {
		t.Errorf("the files are %v", all)
	}
	info, err := os.Stat(cache.Path(p))
	check(t, err)
	if runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("the mode is %v", info.Mode())
	}
}

func TestCacheChecksWhatItReads(t *testing.T) {
	t.Parallel()
	root, other := sign(t, nil, ca).cert, sign(t, nil, ca).cert
	noCA := sign(t, nil, leaf).cert
	for name, test := range map[string]struct {
		pin  pin.Pin
		file []byte
		want error
	}{
		"another CA": {pin.Of(root), inPEM(other), pin.ErrNotFound},
		"no CA":      {pin.Of(noCA), inPEM(noCA), pin.ErrNotCA},
		"junk":       {pin.Of(root), []byte("junk"), pin.ErrNotFound},
		"bad DER":    {pin.Of(root), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), nil},
	} {
		cache := pin.Cache{Dir: t.TempDir()}
		check(t, os.WriteFile(cache.Path(test.pin), test.file, 0o600))
		if got, err := cache.Load(test.pin); got != nil || err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestWithoutCache(t *testing.T) {
	t.Parallel()
	root := sign(t, nil, ca).cert
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	for _, cache := range []pin.Cache{{}, {Dir: file}} {
		if err := cache.Store(root); err == nil {
			t.Errorf("stored in %q", cache.Dir)
		}
		if got, err := cache.Load(pin.Of(root)); got != nil || err == nil {
			t.Errorf("loaded from %q", cache.Dir)
		}
	}
}

func inPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
