package fleet

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/fleet"
)

// node is an etcd in a process of its own, of the version that Debian has.
type node struct {
	*etcd
	data string
	args []string // of the cluster
	tls  string   // the folder of the CA and the certificates, or ""
	cmd  *exec.Cmd
}

// startNode starts an etcd that ends with the test. If tls is not empty it asks for client certificates of the CA there.
func startNode(t *testing.T, tls string) *node {
	t.Helper()
	for _, name := range []string{"etcd", "etcdctl"} {
		if _, err := exec.LookPath(name); err != nil && os.Getenv("SALLYPORT_NEED") != "" { // as in CI
			t.Fatal(err)
		} else if err != nil {
			t.Skip(err)
		}
	}
	peer := "http://" + freeAddr(t)
	n := &node{
		etcd: &etcd{t: t, endpoint: freeAddr(t)}, data: filepath.Join(t.TempDir(), "etcd"), tls: tls,
		args: []string{"--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer},
	}
	n.start()
	t.Cleanup(n.kill)
	return n
}

// freeAddr returns an address that is free now.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start starts the node with what is in data.
func (n *node) start() {
	n.t.Helper()
	at := "http://" + n.endpoint
	args := append(n.args, "--data-dir", n.data, "--logger", "zap", "--log-level", "fatal", "--listen-peer-urls", n.args[1])
	if n.tls != "" {
		at = "https://" + n.endpoint
		args = append(args, "--client-cert-auth", "--trusted-ca-file", filepath.Join(n.tls, certs.CAFile),
			"--cert-file", filepath.Join(n.tls, certs.CertFile), "--key-file", filepath.Join(n.tls, certs.KeyFile))
	}
	n.cmd = exec.Command("etcd", append(args, "--listen-client-urls", at, "--advertise-client-urls", at)...)
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	eventually(n.t, "etcd answers", func() bool { return n.control("get", "up") == nil })
}

// kill ends the node. Its data stays.
func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

// control runs etcdctl.
func (n *node) control(args ...string) error {
	args = append([]string{"--endpoints", n.endpoint}, args...)
	if n.tls != "" {
		cert, key, err := certs.IssueClient(n.tls, "root", time.Now())
		if err != nil {
			return err
		}
		args = append(args, "--cacert", filepath.Join(n.tls, certs.CAFile), "--cert", cert, "--key", key)
	}
	cmd := exec.CommandContext(n.t.Context(), "etcdctl", args...)
	cmd.Env = append(os.Environ(), "ETCDCTL_API=3")
	return cmd.Run()
}

// A gate whose etcd was restored from a backup, or lost its data, does not go on with places that are not there. etcd
// itself would tell it nothing until its revisions catch up.
func TestSeatOfAnEtcdThatIsSetBack(t *testing.T) {
	t.Parallel()
	n := startNode(t, "")
	one := n.gate("1")
	first := one.asks("first")
	first.at("0 first")
	first.Leave() // the lease is in the backup
	first.until("free", func() bool { return one.Status().Holder == "" })
	backup := filepath.Join(t.TempDir(), "backup")
	if err := n.control("snapshot", "save", backup); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		prepare func() error
	}{
		{"restored", func() error {
			return n.control(append([]string{"snapshot", "restore", backup, "--data-dir", n.data}, n.args...)...)
		}},
		{"empty", func() error { return nil }},
	} {
		alice := one.asks("alice-" + c.name)
		alice.at("0 alice-" + c.name)
		n.kill()
		if err := os.RemoveAll(n.data); err != nil {
			t.Fatal(err)
		}
		if err := c.prepare(); err != nil {
			t.Fatal(c.name, err)
		}
		n.start()
		began := time.Now()
		alice.leaves()
		if n, _ := alice.Position(); n == 0 || alice.Check() == nil {
			t.Error(c.name, "the seat is still alice's", n)
		}
		alice.Leave()
		tries := 0
		alice.until("the seat of the next client", func() bool {
			tries++
			bob := fmt.Sprint("bob-", c.name, tries) // the place of each try is deleted later
			next, err := one.enter(bob, queueRules, false)
			if err == nil {
				next.at("0 " + bob)
				next.Leave()
				next.until("free", func() bool { return one.Status().Holder == "" })
			}
			return err == nil
		})
		if took := time.Since(began); took > 12*time.Second {
			t.Error(c.name, "a client has the seat after", took)
		}
	}
}

// A gate that may only read the queue any more can't delete a place. It lets its lease end.
func TestSeatOfAGateWhoseRightIsRevoked(t *testing.T) {
	t.Parallel()
	dir, cert, key := lab(t)
	n := startNode(t, dir)
	n.onlyAllow(dir, "lab/seats/")
	f, err := fleet.Open(context.Background(), fleet.Config{URL: n.url(), CA: filepath.Join(dir, certs.CAFile), Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	one := &gate{t: t}
	one.Seat = f.Seat(fleet.SeatConfig{Rig: "scope", Gate: "1", Changed: func() {}, Fatal: func(string) {}})
	t.Cleanup(one.Close)
	alice := one.asks("alice")
	alice.at("0 alice")
	if err := n.control("role", "grant-permission", "--prefix", "gate", "read", "lab/seats/"); err != nil {
		t.Fatal(err)
	}
	alice.Leave()
	began := time.Now()
	alice.until("free", func() bool { return one.Status().Holder == "" })
	if took := time.Since(began); took > 20*time.Second {
		t.Error(took)
	}
	if _, err := one.enter("bob", queueRules, false); !isBusy(err, "etcd refuses this gate the queue of this rig") {
		t.Error(err)
	}
}

// An etcd whose database is full takes no place, and deletes them.
func TestSeatOfAFullEtcd(t *testing.T) {
	t.Parallel()
	e := startEtcdWith(t, func(c *embed.Config) { c.QuotaBackendBytes = 1 << 20 })
	one, c := e.gate("1"), e.client()
	alice := one.asks("alice")
	alice.at("0 alice")
	bob := one.asks("bob")
	for err := error(nil); err == nil; {
		_, err = c.Put(t.Context(), "fill", strings.Repeat("x", 1<<18))
	}
	alice.Leave()
	bob.at("0 bob")
	if _, err := one.enter("carol", queueRules, false); !isBusy(err, "is full: alarm NOSPACE") {
		t.Error(err)
	}
}
