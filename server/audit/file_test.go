package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestOpenContinues(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	record(t, l, "a", "b")
	l.Info("c", "").Send()
	check(t, l.Close())
	head := l.Head()
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		check(t, err)
		equal(t, "mode", info.Mode(), os.FileMode(0o600))
	}
	again, err := Open(path, Options{Sync: SyncRecord})
	check(t, err)
	equal(t, "head", again.Head(), head)
	record(t, again, "d")
	check(t, again.Close())
	equal(t, "lines", len(links(t, read(t, path), zeros)), 4)
	if strings.Contains(read(t, path), `"head"`) {
		t.Fatal("a head where nothing was rotated")
	}
	again.Info("e", "").Send()
	if err := again.Flush(); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("Flush after Close: %v", err)
	}
}

func TestFileIsAppendedTo(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	record(t, l, "a")
	check(t, os.Truncate(path, 0))
	record(t, l, "b")
	equal(t, "events", events(t, read(t, path)), []string{"b"})
}

func TestTornLine(t *testing.T) {
	t.Parallel()
	var whole bytes.Buffer
	record(t, New(&whole, Options{}), "a")
	for _, torn := range []string{
		"{", `{"time":"2026`, "\x00\xff\x00", strings.Repeat("long", 100_000), strings.TrimSuffix(whole.String(), "\n"),
	} {
		for _, before := range []string{"", whole.String()} {
			path := filepath.Join(t.TempDir(), "log")
			check(t, os.WriteFile(path, []byte(before+torn), 0o600))
			l, err := Open(path, Options{})
			check(t, err)
			record(t, l, "after")
			check(t, l.Close())

			log := read(t, path)
			rep, err := Verify(strings.NewReader(log), path, l.Head())
			check(t, err)
			equal(t, "lines", rep.Lines, strings.Count(before, "\n")+2)
			rest, ok := strings.CutPrefix(log, before)
			if !ok {
				t.Fatal("whole lines were touched")
			}
			var repair struct {
				Level, Event string
				Octets       int
				Data         []byte // encoding/json takes base64
			}
			check(t, json.Unmarshal([]byte(rest[:strings.Index(rest, "\n")]), &repair))
			equal(t, "repair", []any{repair.Level, repair.Event, repair.Octets, string(repair.Data)},
				[]any{"warn", "log.repair", len(torn), torn})
		}
	}
}

func TestTornLineStaysWhereItCantBeRepaired(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	record(t, l, "a")
	before := read(t, path) + "torn"
	check(t, os.WriteFile(path, []byte(before), 0o600))
	again := New(&faulty{Writer: l.file, err: syscall.ENOSPC, part: 20}, Options{})
	again.file = l.file
	if err := again.resume(l.file); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("resume: %v", err)
	}
	equal(t, "file", read(t, path), before)
}

func TestOpenRefusesAForeignLastLine(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	l := New(&log, Options{})
	record(t, l, "a")
	for name, end := range map[string]string{
		"text":       "hello\n",
		"empty line": "\n",
		"no chain":   `{"event":"x"}` + "\n",
		"upper case": `{"event":"x","chain":"` + strings.Repeat("A", 64) + "\"}\n",
		"short":      `{"event":"x","chain":"` + zeros[1:] + "\"}\n",
		"CRLF":       strings.TrimSuffix(log.String(), "\n") + "\r\n",
		"endless":    strings.Repeat("x", MaxLine/2+1),
	} {
		path := filepath.Join(t.TempDir(), "log")
		content := log.String() + end
		check(t, os.WriteFile(path, []byte(content), 0o600))
		if _, err := Open(path, Options{}); !errors.Is(err, ErrNoChain) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		equal(t, name, read(t, path), content)
	}
	if _, err := Open(t.TempDir(), Options{}); err == nil {
		t.Error("a folder is opened")
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{Sync: SyncSession})
	record(t, l, "a", "b")
	l.Info("c", "").Send()
	check(t, os.Rename(path, path+".1"))
	before := l.file
	check(t, l.Reopen())
	if err := before.Close(); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("the old file was left open: %v", err)
	}
	equal(t, "old file", events(t, read(t, path+".1")), []string{"a", "b", "c"})
	old := links(t, read(t, path+".1"), zeros)[2]
	equal(t, "head", l.Head(), old)
	l.Info("server.reload", "").Send()
	l.Info("d", "").Send()
	check(t, l.Close())

	log := read(t, path)
	equal(t, "heads", strings.Count(log, `,"head":"`+old+`","chain":"`), 1)
	equal(t, "links", links(t, log, old)[1], l.Head())
	for _, want := range []string{"", l.Head()} {
		rep, err := Verify(strings.NewReader(log), path, want)
		check(t, err)
		equal(t, "report", rep, Report{Lines: 2, Head: l.Head(), From: old})
	}
	// Whoever drops all lines up to a head can write that head into a new first line.
	if _, err := Verify(strings.NewReader(log), path, old); !errors.Is(err, ErrNoHead) {
		t.Errorf("the old file's head was taken for one of this: %v", err)
	}
	again, err := Open(path, Options{})
	check(t, err)
	record(t, again, "e")
	check(t, again.Close())
	equal(t, "links", len(links(t, read(t, path), old)), 3)
}

func TestReopenWithoutRotation(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	check(t, l.Reopen())
	record(t, l, "a")
	check(t, l.Reopen())
	l.Info("b", "").Send()
	check(t, l.Reopen())
	equal(t, "events", events(t, read(t, path)), []string{"a", "b"})
	links(t, read(t, path), zeros)
	check(t, New(io.Discard, Options{}).Reopen())
}

func TestReopenKeepsTheFile(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	disk := &faulty{Writer: l.file, part: 10}
	l.w = disk
	record(t, l, "a")
	check(t, os.Rename(path, path+".1"))

	disk.err = syscall.ENOSPC
	l.Info("b", "").Send()
	if err := l.Reopen(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Reopen with a full disk: %v", err)
	}
	disk.err = nil
	check(t, os.WriteFile(path, []byte("foreign\n"), 0o600))
	if err := l.Reopen(); !errors.Is(err, ErrNoChain) {
		t.Fatalf("Reopen on a foreign file: %v", err)
	}
	check(t, os.Remove(path))
	another, err := Open(path, Options{})
	check(t, err)
	record(t, another, "x")
	check(t, another.Close())
	if err := l.Reopen(); !errors.Is(err, ErrMismatch) {
		t.Fatalf("Reopen on another log: %v", err)
	}
	record(t, l, "c")
	equal(t, "events", events(t, read(t, path+".1")), []string{"a", "b", "c"})

	check(t, os.Remove(path))
	check(t, l.Reopen())
	record(t, l, "d")
	equal(t, "events", events(t, read(t, path)), []string{"d"})
	check(t, l.Close())
}

func BenchmarkRequest(b *testing.B) {
	l := New(io.Discard, Options{})
	b.ReportAllocs()
	for b.Loop() {
		request(l)
		_ = l.Flush()
	}
}
