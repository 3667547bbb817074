// Package fleet tests the directory of gates against a real etcd, which runs in the process of the tests.
package fleet

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/sallyport/sallyport/server/fleet"
)

// etcd is a cluster of one node on this machine.
type etcd struct {
	t        *testing.T
	dir      string
	endpoint string // HOST:PORT; the same after a restart
	change   func(*embed.Config)
	mu       sync.Mutex
	node     *embed.Etcd
}

// startEtcd starts an etcd that ends with the test.
func startEtcd(t *testing.T) *etcd {
	t.Helper()
	return startEtcdWith(t, func(*embed.Config) {})
}

// startEtcdWith is startEtcd with a changed configuration.
func startEtcdWith(t *testing.T, change func(*embed.Config)) *etcd {
	t.Helper()
	e := &etcd{t: t, dir: t.TempDir(), endpoint: "127.0.0.1:0", change: change}
	e.start()
	e.endpoint = e.node.Clients[0].Addr().String()
	t.Cleanup(e.stop)
	return e
}

// start starts the node, again on the same port.
func (e *etcd) start() {
	e.t.Helper()
	c := embed.NewConfig()
	c.Dir = e.dir
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	c.UnsafeNoFsync = true
	c.TickMs, c.ElectionMs = 20, 200
	c.ListenClientUrls = []url.URL{{Scheme: "http", Host: e.endpoint}}
	c.AdvertiseClientUrls = c.ListenClientUrls
	c.ListenPeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:1"}}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	e.change(c)
	node, err := embed.StartEtcd(c)
	if err != nil {
		e.t.Fatal(err)
	}
	select {
	case <-node.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		e.t.Fatal("etcd is not ready")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.node = node
}

// stop ends the node. Its data stays.
func (e *etcd) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.node != nil {
		e.node.Close()
		e.node = nil
	}
}

// url is the address for --fleet, with a prefix of the test's own.
func (e *etcd) url() string { return "etcd://" + e.endpoint + "/lab" }

// open returns a fleet in this etcd, until the test ends.
func (e *etcd) open() *fleet.Fleet {
	e.t.Helper()
	return open(e.t, e.url())
}

// open opens the fleet at an address until the end of the test.
func open(t *testing.T, url string) *fleet.Fleet {
	t.Helper()
	f, err := fleet.Open(context.Background(), fleet.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// client returns a client of the engine itself, to look at keys and to write what a gate would not.
func (e *etcd) client() *clientv3.Client {
	e.t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + e.endpoint}, Logger: zap.NewNop()})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestEtcdStartsAgain(t *testing.T) {
	e := startEtcd(t)
	e.open()
	c := e.client()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := c.Put(ctx, "a", "b"); err != nil {
		t.Fatal(err)
	}
	e.stop()
	e.start()
	got, err := c.Get(ctx, "a")
	if err != nil || got.Count != 1 {
		t.Error(got, err)
	}
}
