package fleet

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/server/fleet"
)

// patience bounds the wait for what must happen. A lease has 15 s.
const patience = 40 * time.Second

// id returns the id of a gate.
func id(n int) string { return fmt.Sprintf("%032x", n) }

// eventually waits until done returns true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// rigs returns the names and holders in the directory.
func rigs(t *testing.T, f *fleet.Fleet) (all []string) {
	t.Helper()
	got, err := f.Rigs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got {
		all = append(all, strings.TrimSuffix(r.Name+" "+r.Holder, " "))
	}
	return all
}

func register(t *testing.T, f *fleet.Fleet, gate int, name string, describe func() fleet.Rig) *fleet.Registration {
	t.Helper()
	r, err := f.Register(id(gate), name, describe)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func plain() fleet.Rig { return fleet.Rig{Addr: "127.0.0.1:7443"} }

func TestDirectory(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	f := e.open()
	var holder atomic.Value
	holder.Store("")
	want := fleet.Rig{
		Addr: "rig.example:7443", CA: "SHA256:x", Version: "1", Head: "00", Waiting: 2, Seat: true,
		Tags: map[string]string{"board": "imx8", "kit": "ü & <b>"}, Since: time.Now().UTC().Round(time.Second),
	}
	registered := want
	describe := func() fleet.Rig {
		r := registered
		r.Holder = holder.Load().(string)
		return r
	}
	r := register(t, f, 2, "b", describe)
	register(t, f, 1, "a", plain)
	if got := rigs(t, f); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatal(got)
	}
	all, _ := f.Rigs(t.Context())
	got := all[1]
	want.Name, want.Gate, want.Revision = "b", id(2), got.Revision
	if !reflect.DeepEqual(got, want) || !got.Has(map[string]string{"board": "imx8"}) || got.Has(map[string]string{"board": "x"}) || got.Has(map[string]string{"x": ""}) {
		t.Errorf("%+v", got)
	}
	if s := r.State(); !s.Up || s.Err != nil {
		t.Error(s)
	}
	holder.Store("alice")
	r.Changed()
	eventually(t, "alice has b", func() bool { return slices.Equal(rigs(t, f), []string{"a", "b alice"}) })
	r.Close()
	if got := rigs(t, f); !slices.Equal(got, []string{"a"}) {
		t.Error("after the end:", got)
	}
}

// A gate writes at most twice a second, and the last state is written.
func TestWritesAreFewAndTheLastIsOwed(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	f := e.open()
	var n atomic.Int64
	r := register(t, f, 1, "a", func() fleet.Rig { return fleet.Rig{Addr: "a:1", Holder: fmt.Sprint(n.Load())} })
	changes := e.client().Watch(t.Context(), "lab/rigs/a/"+id(1))
	begin := time.Now()
	for time.Since(begin) < 2*time.Second {
		n.Add(1)
		r.Changed()
		<-time.After(time.Millisecond)
	}
	last := fmt.Sprint(n.Load())
	eventually(t, "the last state", func() bool { return slices.Equal(rigs(t, f), []string{"a " + last}) })
	writes := 0
	for done := false; !done; {
		select {
		case change := <-changes:
			writes += len(change.Events)
		case <-time.After(100 * time.Millisecond):
			done = true
		}
	}
	if most := int(2*time.Since(begin).Seconds()) + 1; writes < 2 || writes > most {
		t.Errorf("%d writes in %v, at most %d wanted", writes, time.Since(begin), most)
	}
}

func TestNameIsTaken(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	f := e.open()
	shared := func() fleet.Rig { return fleet.Rig{Addr: "s:1", Seat: true} }
	register(t, f, 1, "a", plain)
	register(t, f, 2, "s", shared)
	register(t, f, 3, "s", shared)
	for _, test := range []struct {
		name     string
		describe func() fleet.Rig
	}{{"a", plain}, {"a", shared}, {"s", plain}} {
		if _, err := f.Register(id(9), test.name, test.describe); !errors.Is(err, fleet.ErrTaken) || !strings.Contains(err.Error(), "by the gate at ") {
			t.Error(test.name, err)
		}
	}
	register(t, f, 1, "a", plain) // the same gate again, which was killed
	if got := rigs(t, f); !slices.Equal(got, []string{"a", "s", "s"}) {
		t.Error(got)
	}
}

// Of gates that register for one name at the same moment, one wins.
func TestNameIsTakenAtTheSameMoment(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	f := e.open()
	for round := range 10 {
		var won atomic.Int64
		var all sync.WaitGroup
		for gate := range 6 {
			all.Go(func() {
				r, err := f.Register(id(gate), fmt.Sprint("rig", round), plain)
				if err == nil {
					won.Add(1)
					t.Cleanup(r.Close)
				} else if !errors.Is(err, fleet.ErrTaken) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("round %d: %d gates have the name", round, won.Load())
		}
	}
}

func TestForeignValues(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	f := e.open()
	register(t, f, 1, "good", plain)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ok := `{"schema":"sallyport-rig/1","addr":"a:1"}`
	for key, value := range map[string]string{
		"lab/rigs/x1/" + id(1):       `not JSON`,
		"lab/rigs/x2/" + id(1):       `{"schema":"sallyport-rig/2","addr":"a:1"}`,
		"lab/rigs/x3/" + id(1):       `{"schema":"sallyport-rig/1","addr":"` + strings.Repeat("x", 4096) + `:1"}`,
		"lab/rigs/x4/" + id(1):       `{"schema":"sallyport-rig/1","addr":"\u001b[2J:1"}`,
		"lab/rigs/x5/" + id(1):       `{"schema":"sallyport-rig/1","addr":"a:1","tags":{"a b":""}}`,
		"lab/rigs/x6/" + id(1):       `{"schema":"sallyport-rig/1","addr":"a:1","waiting":-1}`,
		"lab/rigs/x7/notanid":        ok,
		"lab/rigs/x 8/" + id(1):      ok,
		"lab/rigs/x9":                ok,
		"lab/rigs/y/z/" + id(1):      ok,
		"lab/rigs/%2F/" + id(1):      ok,
		"laboratory/rigs/z/" + id(1): ok,
	} {
		if _, err := e.client().Put(ctx, key, value); err != nil {
			t.Fatal(err)
		}
	}
	if got := rigs(t, f); !slices.Equal(got, []string{"good"}) {
		t.Error(got)
	}
	if _, err := f.Register(id(2), "x1", plain); !errors.Is(err, fleet.ErrTaken) {
		t.Error("a name with a foreign value:", err)
	}
}

// The directory is complete when it is longer than a reply.
func TestManyRigs(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	f := e.open()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := e.client()
	const many = 2100
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := worker; i < many; i += 8 {
				if _, err := c.Put(ctx, fmt.Sprintf("lab/rigs/r%04d/%s", i, id(i)), `{"schema":"sallyport-rig/1","addr":"a:1"}`); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	got := rigs(t, f)
	if len(got) != many || !slices.IsSorted(got) || len(slices.Compact(got)) != many {
		t.Error(len(got))
	}
}

func TestEtcdGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	f := e.open()
	r := register(t, f, 1, "a", plain)
	seen := make(chan int, 64)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	followed := make(chan error, 1)
	go func() { followed <- f.Follow(ctx, func(all []fleet.Rig) { seen <- len(all) }) }()
	if n := <-seen; n != 1 {
		t.Fatal(n)
	}
	e.stop()
	r.Changed()
	eventually(t, "the gate knows that etcd is away", func() bool { return !r.State().Up })
	if s := r.State(); !errors.Is(s.Err, fleet.ErrAway) || !strings.Contains(s.Err.Error(), "refused") {
		t.Error(s.Err)
	}
	if _, err := f.Rigs(t.Context()); !errors.Is(err, fleet.ErrAway) {
		t.Error(err)
	}
	e.start()
	eventually(t, "the gate registers again", func() bool { return r.State().Up })
	register(t, f, 2, "b", plain)
	for n := 0; n != 2; {
		select {
		case n = <-seen:
		case <-time.After(patience):
			t.Fatal("Follow does not go on")
		}
	}
	cancel()
	if err := <-followed; err != nil {
		t.Error(err)
	}
}

func TestNoEtcdAtTheStart(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	e.stop()
	f := e.open()
	r := register(t, f, 1, "a", plain)
	if s := r.State(); s.Up || !errors.Is(s.Err, fleet.ErrAway) {
		t.Error(s)
	}
	if err := f.Follow(t.Context(), nil); !errors.Is(err, fleet.ErrAway) {
		t.Error(err)
	}
	e.start()
	eventually(t, "the gate registers", func() bool { return r.State().Up })
}

// A gate whose key somebody removes is back by itself.
func TestRemovedByHand(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	f := e.open()
	register(t, f, 1, "a", plain)
	if _, err := e.client().Delete(t.Context(), "lab/rigs/a/"+id(1)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the gate is back", func() bool { return len(rigs(t, f)) == 1 })
}
