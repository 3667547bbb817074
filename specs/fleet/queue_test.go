package fleet

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/server/admission"
)

// A client that comes to a long queue is news for the holder, but not for the waiting clients.
func TestSeatWithALongQueue(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	one := e.gate("1")
	alice := one.asks("alice")
	const n = 300
	var calls atomic.Int64
	var waiting []admission.Place
	for i := range n {
		place, err := one.Enter(t.Context(), admission.Client{
			User: "bob", Conn: fmt.Sprint(i), Rules: admission.Rules{Depth: n, PerUser: n},
			Changed: func() { calls.Add(1) }, Evict: func(string, string) {},
		})
		if err != nil {
			t.Fatal(i, err)
		}
		waiting = append(waiting, place)
	}
	alice.until("told", func() bool { return calls.Load() >= n })
	if calls := calls.Load(); calls > 3*n {
		t.Errorf("%d calls for %d clients", calls, n)
	}
	before := calls.Load()
	alice.Leave()
	alice.until("told to all", func() bool { return calls.Load() >= before+n })
	if position, _ := waiting[n-1].Position(); position != n-1 {
		t.Error(position)
	}
}

// A client whose place was deleted and written again while its gate could not see it has lost the seat.
func TestSeatWhosePlaceIsWrittenAgain(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	path := newProxy(t, e.endpoint)
	one, two := newGate(t, open(t, "etcd://"+path.addr()+"/lab"), "1"), e.gate("2")
	alice := one.asks("alice")
	bob := two.asks("bob")
	bob.at("1 alice")
	path.cut()
	key := "lab/seats/scope/1/C-alice"
	if _, err := e.client().Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := e.client().Put(t.Context(), key, `{"schema":"sallyport-place/1","user":"alice"}`); err != nil {
		t.Fatal(err)
	}
	bob.until("told", func() bool { return two.NoLease() == key })
	path.join()
	bob.at("0 bob")
	if why := alice.leaves(); why != "fleet: the place in the queue was deleted in etcd" || alice.Check() == nil {
		t.Error("she may write on:", why)
	}
}

// A place whose key somebody has written over has no lease any more, and status says so.
func TestSeatWhoseLeaseIsWrittenOver(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	one := e.gate("1")
	alice := one.asks("alice")
	key := "lab/seats/scope/1/C-alice"
	if _, err := e.client().Put(t.Context(), key, "?"); err != nil {
		t.Fatal(err)
	}
	alice.until("known to have no lease", func() bool { return one.NoLease() == key })
	alice.Leave()
	alice.until("free", func() bool { return one.Status().Holder == "" })
}

// Whoever writes a key chooses neither what an operator's shell does nor what fills a gate's memory.
func TestSeatWithOddKeys(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	one, c := e.gate("1"), e.client()
	large := "lab/seats/scope/" + strings.Repeat("k", 1<<20)
	for key, want := range map[string]string{
		"lab/seats/scope/$(reboot)":     "'lab/seats/scope/$(reboot)'",
		"lab/seats/scope/x';reboot;'":   `'lab/seats/scope/x'\'';reboot;'\'''`,
		"lab/seats/scope/a/../b%20_:@-": "lab/seats/scope/a/../b%20_:@-",
	} {
		for _, key := range []string{large, key} {
			if _, err := c.Put(t.Context(), key, `{"schema":"sallyport-place/1","user":"zoe","at":"\u001b[2J\nhost:1"}`); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, want, func() bool { return one.NoLease() == want })
		if now := one.Status(); now.Holder != "zoe" || now.Waiting != 0 || one.HolderAt() != "" {
			t.Errorf("%+v %q", now, one.HolderAt())
		}
		if _, err := c.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		eventually(t, "free", func() bool { return one.Status().Holder == "" })
	}
}

// Who does not wait gets the seat of a client of the same gate that has just left.
func TestSeatOfAClientThatHasJustLeft(t *testing.T) {
	t.Parallel()
	one := startEtcd(t).gate("1")
	for i := range 20 {
		next, err := one.enter(fmt.Sprint("user", i), admission.Reject{}.Rules(0), i%2 == 0)
		if err != nil {
			t.Fatal(i, err)
		}
		next.Leave()
	}
}

// A user who logs in at several gates at once has no more places in the queue than one may have.
func TestSeatCountsAUsersPlacesAtAllGates(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	e.gate("1").asks("alice").at("0 alice")
	var gates []*gate
	for _, id := range []string{"2", "3", "4", "5", "6", "7"} {
		g := e.gate(id)
		g.asks("zoe").Leave() // it has a lease, and a copy of the queue
		gates = append(gates, g)
	}
	for range 20 {
		var asking sync.WaitGroup
		waiting := make(chan *asker, len(gates))
		for _, g := range gates {
			asking.Go(func() {
				bob, err := g.enter("bob", admission.Rules{Depth: 9, PerUser: 1}, false)
				if err == nil {
					waiting <- bob
				} else if !isBusy(err, "this user has all the places") {
					t.Error(err)
				}
			})
		}
		asking.Wait()
		if len(waiting) != 1 {
			t.Fatalf("%d clients of one user wait", len(waiting))
		}
		bob := <-waiting
		bob.Leave()
		bob.until("gone", func() bool {
			return !slices.ContainsFunc(gates, func(g *gate) bool { return g.Status().Waiting > 0 })
		})
	}
}
