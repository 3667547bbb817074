package fleet

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/fleet"
)

// lab makes a CA, a certificate for etcd and one for a gate.
func lab(t *testing.T) (dir, cert, key string) {
	t.Helper()
	dir = t.TempDir()
	if _, err := certs.Ensure(dir, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	cert, key, err := certs.IssueClient(dir, "gate", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return dir, cert, key
}

// secureEtcd starts an etcd that asks for client certificates of the CA in dir.
func secureEtcd(t *testing.T, dir string) *etcd {
	t.Helper()
	return startEtcdWith(t, func(c *embed.Config) {
		c.ListenClientUrls[0].Scheme = "https"
		c.AdvertiseClientUrls = c.ListenClientUrls
		c.ClientTLSInfo.CertFile = filepath.Join(dir, certs.CertFile)
		c.ClientTLSInfo.KeyFile = filepath.Join(dir, certs.KeyFile)
		c.ClientTLSInfo.TrustedCAFile = filepath.Join(dir, certs.CAFile)
		c.ClientTLSInfo.ClientCertAuth = true
	})
}

func TestCertificatesOfEtcd(t *testing.T) {
	t.Parallel()
	dir, cert, key := lab(t)
	stranger, strangeCert, strangeKey := lab(t)
	e := secureEtcd(t, dir)
	ca := filepath.Join(dir, certs.CAFile)
	for name, test := range map[string]struct {
		config fleet.Config
		want   string // "" means that it works
	}{
		"the right ones":       {fleet.Config{CA: ca, Cert: cert, Key: key}, ""},
		"another CA":           {fleet.Config{CA: filepath.Join(stranger, certs.CAFile), Cert: cert, Key: key}, "certificate signed by unknown authority"},
		"no client's":          {fleet.Config{CA: ca}, "certificate required"},
		"a client's of others": {fleet.Config{CA: ca, Cert: strangeCert, Key: strangeKey}, "certificate"},
		"no TLS":               {fleet.Config{}, "do they want TLS (--fleet-ca)?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.config.URL = e.url()
			f, err := fleet.Open(t.Context(), test.config)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			r, err := f.Register(id(1), strings.ReplaceAll(name[:3], " ", "-"), plain)
			if err != nil {
				t.Fatal("a gate must serve on:", err)
			}
			defer r.Close()
			state := r.State()
			if up := test.want == ""; state.Up != up || !up && (!errors.Is(state.Err, fleet.ErrAway) || !strings.Contains(state.Err.Error(), test.want)) {
				t.Error(state)
			}
		})
	}
}

// A member without a quorum takes connections and answers nothing.
func TestEtcdWithoutAQuorum(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := fleet.Open(t.Context(), fleet.Config{URL: "etcd://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Rigs(t.Context()); !errors.Is(err, fleet.ErrAway) || !strings.Contains(err.Error(), "have they a quorum") {
		t.Error(err)
	}
}
