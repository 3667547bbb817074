package fleet

import (
	"net/url"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A gate ends its sessions before etcd gives the seat away, and gets a new lease when etcd is back.
func TestSeatWithoutEtcd(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	one := e.gate("1")
	alice, bob := one.asks("alice"), one.asks("bob")
	e.stop()
	began := time.Now() // etcd has answered nothing later
	if _, err := one.enter("carol", queueRules, false); !isBusy(err, "can't reach etcd") {
		t.Error(err)
	}
	why, whyBob := alice.leaves(), bob.leaves()
	if took := time.Since(began); took > 12*time.Second || !strings.Contains(why, "can't reach etcd") || why != whyBob {
		t.Errorf("%q, %q after %v", why, whyBob, took)
	}
	if n, _ := alice.Position(); n == 0 || alice.Check() == nil {
		t.Error("the seat is still alice's", n)
	}
	bob.Leave()
	alice.until("ended", func() bool { return one.fatal.Load() != nil })
	if why := one.fatal.Load(); why == nil || !strings.Contains(*why, "the session of alice (C-alice) has not ended") {
		t.Error(why)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Error("a session that does not end ends the process after", took)
	}
	alice.Leave()
	e.start()
	two := e.gate("2")
	for { // until the client of etcd connects again
		dave, err := two.enter("dave", queueRules, false)
		if err == nil {
			dave.at("0 dave")
			break
		}
	}
}

func TestSeatWhosePlaceIsDeleted(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	one, c := e.gate("1"), e.client()
	if _, err := c.Put(t.Context(), "lab/seats/scope/0/future", `{"schema":"sallyport-place/2"}`); err != nil {
		t.Fatal(err)
	}
	alice := one.asks("alice")
	alice.at("1 ?") // a value that can't be read keeps its place
	if _, err := c.Delete(t.Context(), "lab/seats/scope/0/future"); err != nil {
		t.Fatal(err)
	}
	alice.at("0 alice")
	if _, err := c.Delete(t.Context(), "lab/seats/scope/1/C-alice"); err != nil {
		t.Fatal(err)
	}
	if why := alice.leaves(); !strings.Contains(why, "deleted in etcd") || alice.Check() == nil {
		t.Error("she may write on:", why)
	}
}

// A session whose place is another's already ends the process too: after the process was stopped, etcd has deleted the
// place, and the copy of the queue knows.
func TestSeatIsLostToAnother(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	for name, lose := range map[string]func(c *clientv3.Client, key string) error{
		"the lease has ended": func(c *clientv3.Client, key string) error {
			got, err := c.Get(t.Context(), key)
			if err == nil {
				_, err = c.Revoke(t.Context(), clientv3.LeaseID(got.Kvs[0].Lease))
			}
			return err
		},
		"the place is deleted": func(c *clientv3.Client, key string) error {
			_, err := c.Delete(t.Context(), key)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			one := e.gate(name)
			alice := one.asks("alice")
			alice.at("0 alice")
			bob := one.asks("bob")
			bob.at("1 alice")
			if err := lose(e.client(), "lab/seats/scope/"+url.PathEscape(name)+"/C-alice"); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			alice.leaves()
			if why := one.dies(alice); !strings.Contains(why, "the session of alice (C-alice) has not ended") || time.Since(began) > 8*time.Second {
				t.Error(why, time.Since(began))
			}
			alice.Leave()
			bob.Leave()
			alice.until("free", func() bool { return one.Status().Holder == "" })
		})
	}
}

// etcd can write a place after the call has failed and the client has left.
func TestSeatIsNotHeldByAPlaceThatWasWrittenLate(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	one, c := e.gate("1"), e.client()
	alice := one.asks("alice")
	got, err := c.Get(t.Context(), "lab/seats/scope/1/C-alice")
	if err != nil {
		t.Fatal(err)
	}
	late := clientv3.WithLease(clientv3.LeaseID(got.Kvs[0].Lease))
	if _, err := c.Put(t.Context(), "lab/seats/scope/1/C-late", `{"schema":"sallyport-place/1","user":"late"}`, late); err != nil {
		t.Fatal(err)
	}
	alice.Leave()
	bob := one.asks("bob")
	bob.at("0 bob")
}
