package fleet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/fleet"
	"github.com/sallyport/sallyport/server/users"
)

// within is how soon a change must be at each gate.
const within = time.Second

// add adds users with a password that is their name.
func add(t *testing.T, f *fleet.Fleet, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := f.AddUser(t.Context(), name, name, scram.MinIterations); err != nil {
			t.Fatal(err)
		}
	}
}

func knows(u *fleet.Users, name string) bool {
	_, known, err := u.Lookup(name)
	return known && err == nil
}

func TestUsersAreTheSameAtEachGate(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	admin, c := e.open(), e.client()
	add(t, admin, "alice", "b/ob%: ü")
	var gates []*fleet.Users
	for range 2 {
		u := e.open().OpenUsers(filepath.Join(t.TempDir(), "copy"))
		t.Cleanup(u.Close)
		gates = append(gates, u)
	}
	for _, u := range gates {
		if !knows(u, "alice") || !knows(u, "b/ob%: ü") || knows(u, "carol") {
			t.Error("the users are not those in etcd")
		}
	}
	a, known, err := gates[0].Lookup("nobody")
	b, _, _ := gates[1].Lookup("nobody")
	if known || err != nil || !a.Equal(b) {
		t.Error("an unknown user looks different at another gate", known, err)
	}

	if err := admin.AddUser(t.Context(), "alice", "x", 0); !errors.Is(err, users.ErrExists) {
		t.Error(err)
	}
	for _, err := range []error{
		admin.SetUserPassword(t.Context(), "carol", "x", 0), admin.RemoveUser(t.Context(), "carol"),
	} {
		if !errors.Is(err, users.ErrNoUser) {
			t.Error(err)
		}
	}
	old, _, _ := gates[1].Lookup("alice")
	if err := admin.SetUserPassword(t.Context(), "alice", "x", scram.MinIterations); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new password", func() bool {
		v, _, _ := gates[1].Lookup("alice")
		return !v.Equal(old)
	})

	took := patience
	for try := 0; try < 5 && took > within; try++ { // a busy machine may take longer once
		if try > 0 {
			add(t, admin, "alice")
			eventually(t, "the new user", func() bool { return knows(gates[0], "alice") && knows(gates[1], "alice") })
		}
		if err := admin.RemoveUser(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for _, u := range gates {
			eventually(t, "the removal", func() bool { return !knows(u, "alice") })
		}
		took = time.Since(began)
	}
	if took > within {
		t.Errorf("each removal took more than %v, the last one %v", within, took)
	}

	// Values that are not ours let nobody in, and do no harm to others.
	add(t, admin, "dave")
	for key, value := range map[string]string{
		"lab/users/dave": "no verifier", "lab/users/erin": strings.Repeat("x", 5000), "lab/users/a%2fb": a.String(),
		"lab/users/": a.String(), "lab/users/ALICE\u00AD": a.String(), "lab/users/x/y": a.String(), "lab/users/frank": a.String(),
	} {
		if _, err := c.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the verifier that another program wrote", func() bool { return knows(gates[0], "frank") })
	eventually(t, "the verifier that is none any more", func() bool { return !knows(gates[0], "dave") })
	list, err := admin.Users(t.Context())
	if len(list) != 2 || !errors.Is(err, fleet.ErrForeign) || strings.Count(err.Error(), "\n") != 5 {
		t.Error(list, err)
	}
	if err := admin.SetUserPassword(t.Context(), "dave", "x", scram.MinIterations); err != nil {
		t.Error(err)
	}
}

func TestUsersWhileEtcdIsAway(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	admin, dir := e.open(), t.TempDir()
	add(t, admin, "alice", "bob")
	path := filepath.Join(dir, "copy")
	u := e.open().OpenUsers(path)
	eventually(t, "the copy", func() bool { _, err := os.Stat(path); return err == nil })
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Error("others can read the copy", info.Mode())
	}
	mock, _, _ := u.Lookup("nobody")
	e.stop()
	if !knows(u, "alice") {
		t.Error("without etcd the users are gone")
	}

	// Gates that start without etcd, with and without a copy.
	other, err := fleet.Open(context.Background(), fleet.Config{URL: "etcd://" + e.endpoint + "/other"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var again, without, foreign *fleet.Users
	var opening sync.WaitGroup // each waits for etcd for a while
	opening.Go(func() { again = e.open().OpenUsers(path) })
	opening.Go(func() { without = e.open().OpenUsers(filepath.Join(dir, "none")) })
	opening.Go(func() { foreign = other.OpenUsers(path) })
	opening.Wait()
	defer again.Close()
	defer without.Close()
	defer foreign.Close()
	if v, _, err := again.Lookup("nobody"); !knows(again, "alice") || !v.Equal(mock) || err != nil {
		t.Error("a gate that starts without etcd does not use the copy", err)
	}
	if _, known, err := without.Lookup("alice"); known || !errors.Is(err, fleet.ErrNoUsers) {
		t.Error(known, err)
	}
	if _, _, err := foreign.Lookup("alice"); !errors.Is(err, fleet.ErrNoUsers) {
		t.Error("the users of another prefix count", err)
	}

	// What was removed meanwhile is gone when the gates are back, also if etcd has forgotten the change.
	e.start()
	if err := admin.RemoveUser(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	for _, u := range []*fleet.Users{u, again, without} {
		eventually(t, "the removal", func() bool { return knows(u, "alice") && !knows(u, "bob") })
	}
	u.Close()
	if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), "bob") {
		t.Error("the copy has a user who was removed", err)
	}
}

func TestUsersAfterACompaction(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	admin, c := e.open(), e.client()
	add(t, admin, "alice", "bob")
	path := filepath.Join(t.TempDir(), "copy")
	proxy := newProxy(t, e.endpoint)
	f, err := fleet.Open(context.Background(), fleet.Config{URL: "etcd://" + proxy.addr() + "/lab"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	u := f.OpenUsers(path)
	defer u.Close()
	if !knows(u, "bob") {
		t.Fatal("no users")
	}
	proxy.cut()
	if err := admin.RemoveUser(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	add(t, admin, "carol")
	got, err := c.Get(t.Context(), "lab/secret")
	if err == nil {
		_, err = c.Compact(t.Context(), got.Header.Revision)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !knows(u, "bob") {
		t.Error("the gate is not cut off: this test shows nothing")
	}
	proxy.join()
	eventually(t, "the changes that etcd has forgotten", func() bool { return !knows(u, "bob") && knows(u, "carol") })
}

func TestSecretIsShared(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	c := e.client()
	path := filepath.Join(t.TempDir(), "copy")
	u := e.open().OpenUsers(path)
	mock, _, err := u.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Delete(t.Context(), "lab/secret"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the secret again", func() bool {
		got, err := c.Get(t.Context(), "lab/secret")
		return err == nil && got.Count == 1
	})
	u.Close()
	other := e.open().OpenUsers(filepath.Join(t.TempDir(), "copy"))
	if v, _, _ := other.Lookup("nobody"); !v.Equal(mock) {
		t.Error("the secret was replaced by another one")
	}
	other.Close()

	// A secret that is not ours is no secret.
	if _, err := c.Put(t.Context(), "lab/secret", "x"); err != nil {
		t.Fatal(err)
	}
	again, without := e.open().OpenUsers(path), e.open().OpenUsers(filepath.Join(t.TempDir(), "none"))
	defer again.Close()
	defer without.Close()
	if v, _, err := again.Lookup("nobody"); err != nil || !v.Equal(mock) {
		t.Error("the secret of the copy does not count", err)
	}
	if _, _, err := without.Lookup("nobody"); !errors.Is(err, fleet.ErrNoUsers) {
		t.Error(err)
	}
}

func TestLargeForeignValuesDoNoHarm(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	add(t, e.open(), "alice", "zoe")
	for _, name := range []string{"b", "c", "d", "e", "f", "g", "h", "i"} {
		if _, err := e.client().Put(t.Context(), "lab/users/"+name, strings.Repeat("x", 1_300_000)); err != nil {
			t.Fatal(err)
		}
	}
	u := e.open().OpenUsers(filepath.Join(t.TempDir(), "copy"))
	defer u.Close()
	if !knows(u, "alice") || !knows(u, "zoe") || knows(u, "b") {
		t.Error("values that a reply can't hold keep others from being read")
	}
}
