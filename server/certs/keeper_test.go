package certs_test

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/server/certs"
)

// keep runs a keeper in synthetic time on the certificate in dir, as its own or as the operator's, after a
// change. It returns the days and the error of each warning, and the certificates that were used.
func keep(t *testing.T, dir string, own bool, long time.Duration, change func(t *testing.T, dir string)) (days []int, errs []error, used []tls.Certificate) {
	t.Helper()
	pair, err := certs.Load(filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile), time.Now())
	check(t, err)
	k := &certs.Keeper{
		Use:  func(pair tls.Certificate) error { used = append(used, pair); return nil },
		Warn: func(e certs.Expiry) { days, errs = append(days, e.Days), append(errs, e.Err) },
	}
	if own {
		k.Dir = dir
	}
	k.Serving(pair.Leaf)
	change(t, dir)
	ctx, stop := context.WithTimeout(t.Context(), long)
	defer stop()
	k.Run(ctx)
	return days, errs, used
}

func unchanged(*testing.T, string) {}

// downTo returns the whole numbers from first down to last.
func downTo(first, last int) (all []int) {
	for ; first >= last; first-- {
		all = append(all, first)
	}
	return all
}

func TestKeeperRenews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		mustEnsure(t, dir, time.Now(), "rig.example")
		begin := time.Now()
		days, _, used := keep(t, dir, true, 3*365*day, unchanged)
		if len(days) > 0 {
			t.Errorf("it warned, with the days %v", days)
		}
		if len(used) != 3 {
			t.Fatalf("it renewed %d times in three years", len(used))
		}
		for n, pair := range used {
			if made, due := pair.Leaf.NotBefore.Add(time.Hour).Sub(begin), time.Duration(n+1)*335*day; made < due || made > due+4*time.Hour {
				t.Errorf("renewal %d was after %v", n, made)
			}
		}
		check(t, verify(t, dir, "rig.example", time.Now()))
	})
}

// What can't be renewed is warned of each day, from 30 days before its end, and on after it.
func TestKeeperWarns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		own    bool
		change func(t *testing.T, dir string)
		want   error
	}{
		"the operator's":            {false, unchanged, nil},
		"without the key of the CA": {true, func(t *testing.T, dir string) { remove(t, dir, certs.CAKeyFile) }, certs.ErrEndsSoon},
		"of another CA": {true, func(t *testing.T, dir string) {
			remove(t, dir, certs.CAFile, certs.CAKeyFile)
			if warning, err := certs.Ensure(dir, nil, time.Now()); err != nil || !errors.Is(warning, certs.ErrForeign) {
				t.Fatal(warning, err)
			}
		}, certs.ErrForeign},
		"with a key that others can read": {true, func(t *testing.T, dir string) {
			check(t, os.Chmod(filepath.Join(dir, certs.KeyFile), 0o644))
		}, certs.ErrExposedKey},
	} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			mustEnsure(t, dir, time.Now())
			before := contents(t, dir)[certs.CertFile]
			days, errs, used := keep(t, dir, c.own, 367*day, c.change)
			if diff := cmp.Diff(downTo(29, -3), days); diff != "" {
				t.Fatalf("%s: the days (-want +got):\n%s", name, diff)
			}
			if !errors.Is(errs[0], c.want) {
				t.Errorf("%s: %v", name, errs[0])
			}
			if len(used) > 0 || contents(t, dir)[certs.CertFile] != before {
				t.Errorf("%s: the certificate was changed", name)
			}
		})
	}
}

// The last certificate of a CA ends with it.
func TestKeeperWarnsOfTheEndOfTheCA(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		mustEnsure(t, dir, time.Now().Add(-3400*day))
		check(t, certs.Issue(dir, []string{"localhost"}, time.Now()))
		days, errs, used := keep(t, dir, true, 250*day-time.Hour, unchanged)
		if diff := cmp.Diff(downTo(29, 0), days); diff != "" || !errors.Is(errs[0], certs.ErrEndsSoon) || len(used) > 0 {
			t.Errorf("%v, %d renewed, the days (-want +got):\n%s", errs, len(used), diff)
		}
	})
}

// A certificate that was renewed by other hands is used when the served one ends soon, and not before.
func TestKeeperUsesWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := ensured(t)
	pair, err := certs.Load(filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile), start)
	check(t, err)
	var used []tls.Certificate
	k := &certs.Keeper{
		Dir: dir, Warn: func(e certs.Expiry) { t.Error(e) },
		Use: func(pair tls.Certificate) error { used = append(used, pair); return nil },
	}
	k.Serving(pair.Leaf)
	check(t, certs.Issue(dir, []string{"rig.example"}, start.Add(300*day)))
	k.Check(start.Add(334 * day))
	if len(used) > 0 {
		t.Error("used too soon")
	}
	k.Check(start.Add(336 * day))
	if len(used) != 1 || used[0].Leaf.DNSNames[0] != "rig.example" {
		t.Errorf("used %d", len(used))
	}
}
