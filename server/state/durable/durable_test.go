package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/server/state/durable"
)

func TestWriteReplacesTheFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	check(t, os.WriteFile(file, []byte("something longer"), 0o644))
	check(t, durable.Write(file, []byte("new")))
	data, info, err := durable.Read(file, 3)
	if err != nil || string(data) != "new" {
		t.Fatalf("read %q, %v", data, err)
	}
	if runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
}

func TestWriteThatFailsLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "d")
	check(t, os.MkdirAll(filepath.Join(target, "full"), 0o700))
	if err := durable.Write(target, []byte("x")); err == nil {
		t.Error("a directory was replaced")
	}
	if err := durable.Write(filepath.Join(dir, "missing", "f"), []byte("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing directory: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestReadIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	check(t, durable.Write(file, []byte("1234")))
	if _, _, err := durable.Read(file, 4); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if _, _, err := durable.Read(file, 3); !errors.Is(err, durable.ErrTooLarge) || !strings.Contains(err.Error(), file) {
		t.Errorf("over the limit: %v", err)
	}
	for _, path := range []string{dir, os.DevNull} {
		if _, _, err := durable.Read(path, 4); err == nil {
			t.Errorf("%s was read", path)
		}
	}
	if _, _, err := durable.Read(filepath.Join(dir, "none"), 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestLockExcludes(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "l")
	var group sync.WaitGroup
	var holders, done atomic.Int32
	for range 8 {
		group.Go(func() {
			release, err := durable.Lock(file)
			if err != nil {
				t.Error(err)
				return
			}
			if n := holders.Add(1); n != 1 {
				t.Errorf("%d have the lock", n)
			}
			runtime.Gosched()
			holders.Add(-1)
			done.Add(1)
			release()
		})
	}
	group.Wait()
	if n := done.Load(); n != 8 {
		t.Errorf("%d of 8 had the lock", n)
	}
}

func TestLockGivesUp(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "l")
	synctest.Test(t, func(t *testing.T) {
		release, err := durable.Lock(file)
		check(t, err)
		start := time.Now()
		if _, err = durable.Lock(file); !errors.Is(err, durable.ErrLocked) {
			t.Errorf("a second lock: %v", err)
		}
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("waited %v", waited)
		}
		release()
		if release, err = durable.Lock(file); err != nil {
			t.Errorf("after the release: %v", err)
		}
		release()
	})
	if _, err := durable.Lock(filepath.Join(file, "below-a-file")); err == nil || errors.Is(err, durable.ErrLocked) {
		t.Errorf("where no lock can be: %v", err)
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
