package audit

import (
	"bytes"
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
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		check(t, err)
		equal(t, "mode", info.Mode(), os.FileMode(0o600))
	}
	again := opened(t, path, Options{Sync: SyncRecord})
	equal(t, "head", again.Head(), l.Head())
	record(t, again, "d")
	check(t, again.Close())
	chained(t, read(t, path), "a", "b", "c", "d")
	if strings.Contains(read(t, path), `"head"`) {
		t.Fatal("a head where nothing was rotated")
	}
	again.Info("e", "").Send()
	is(t, "Flush after Close", again.Flush(), os.ErrClosed)
}

func TestFileIsAppendedTo(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	record(t, l, "a")
	check(t, os.Truncate(path, 0))
	record(t, l, "b")
	holds(t, read(t, path), "log.rotate", "b")
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
			l := opened(t, path, Options{})
			record(t, l, "after")
			log := read(t, path)
			equal(t, "lines", verify(t, log, l.Head()).Lines, strings.Count(before, "\n")+2)
			rest, ok := strings.CutPrefix(log, before)
			if !ok {
				t.Fatal("whole lines were touched")
			}
			type repair struct {
				Level, Event string
				Octets       int
				Data         []byte // encoding/json takes base64
			}
			equal(t, "repair", parsed[repair](t, rest)[0], repair{"warn", "log.repair", len(torn), []byte(torn)})
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
	is(t, "resume", again.resume(l.file), syscall.ENOSPC)
	equal(t, "file", read(t, path), before)
}

func TestOpenRefusesAForeignLastLine(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	record(t, New(&log, Options{}), "a")
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
		_, err := Open(path, Options{})
		is(t, name, err, ErrNoChain)
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: no file in: %v", name, err)
		}
		equal(t, name, read(t, path), content)
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
	is(t, "closing the old file again", before.Close(), os.ErrClosed)
	old := chained(t, read(t, path+".1"), "a", "b", "c")[2]
	l.Info("server.reload", "").Send()
	l.Info("d", "").Send()
	check(t, l.Close())

	log := read(t, path)
	holds(t, log, "log.rotate", "server.reload", "d")
	equal(t, "first line", firstOf(t, log), rotation{Level: "info", Event: "log.rotate", Why: "signal", Head: old, Size: int64(len(read(t, path+".1")))})
	equal(t, "heads", strings.Count(log, `,"head":"`+old+`","chain":"`), 1)
	equal(t, "links", links(t, log, old)[2], l.Head())
	for _, want := range []string{"", l.Head()} {
		equal(t, "report", verify(t, log, want), Report{Lines: 3, Head: l.Head(), From: old})
	}
	// An attacker who drops all lines up to a head can write that head into a new first line.
	_, err := Verify(strings.NewReader(log), path, old)
	is(t, "Verify with the head of the old file", err, ErrNoHead)
	record(t, opened(t, path, Options{}), "e")
	equal(t, "links", len(links(t, read(t, path), old)), 4)
}

func TestReopenWithoutRotation(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	check(t, l.Reopen())
	record(t, l, "a")
	check(t, l.Reopen())
	l.Info("b", "").Send()
	check(t, l.Reopen())
	chained(t, read(t, path), "a", "b")
	check(t, New(io.Discard, Options{}).Reopen())
}

func TestReopenKeepsTheFile(t *testing.T) {
	t.Parallel()
	l, path, disk := onFaultyDisk(t, 10)
	check(t, os.Rename(path, path+".1"))

	disk.err = syscall.ENOSPC
	l.Info("b", "").Send()
	is(t, "Reopen with a full disk", l.Reopen(), syscall.ENOSPC)
	disk.err = nil
	check(t, os.WriteFile(path, []byte("foreign\n"), 0o600))
	is(t, "Reopen on a foreign file", l.Reopen(), ErrNoChain)
	check(t, os.Remove(path))
	record(t, opened(t, path, Options{}), "x")
	is(t, "Reopen on another log", l.Reopen(), ErrMismatch)
	holds(t, read(t, path+".1"), "a", "b")

	check(t, os.Remove(path))
	check(t, l.Reopen())
	record(t, l, "d")
	holds(t, read(t, path), "log.rotate", "d")
}
