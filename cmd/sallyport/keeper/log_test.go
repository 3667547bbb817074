package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const stamp = "2026-03-01T12:00:00Z "

func TestLog(t *testing.T) {
	t.Parallel()
	said := "boot\r\n\r\na\tb\x1b[31m\x07\rc\x9b\u009bü€\u202e\x7f\nlogin: "
	want := stamp + "boot\n" + stamp + "\n" + stamp + "a\tb\\x1B[31m\\x07\\x0Dc\\x9B\\xC2\\x9Bü€\\xE2\\x80\\xAE\\x7F\n" + stamp + "login: "
	for size := 1; size < len(said); size++ {
		path := t.TempDir() + "/console.log"
		l, err := OpenLog(path, 1<<20, logTo(io.Discard))
		if err != nil {
			t.Fatal(err)
		}
		for rest := []byte(said); len(rest) > 0; {
			n := min(size, len(rest))
			l.Record(rest[:n], noon)
			rest = rest[n:]
		}
		if got := read(t, path); got != want {
			t.Fatalf("in parts of %d:\n%s", size, got)
		}
		l.Record([]byte("\xe2\x82"), noon) // the beginning of a character
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if got := read(t, path); got != want+"\\xE2\\x82\n" {
			t.Fatalf("at the end:\n%s", got)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Error(info.Mode(), err)
		}
	}
}

func TestLogLimit(t *testing.T) {
	t.Parallel()
	path, told := t.TempDir()+"/console.log", &bytes.Buffer{}
	l, err := OpenLog(path, 60, logTo(told))
	if err != nil {
		t.Fatal(err)
	}
	l.Record([]byte("first\nsecond\n"), noon)
	l.Record([]byte("third\nand fourth"), noon)
	if got := read(t, path+".1"); got != stamp+"first\n"+stamp+"second\n" {
		t.Errorf("the old log:\n%s", got)
	}
	if got := read(t, path); got != stamp+"third\n"+stamp+"and fourth" {
		t.Errorf("the new log:\n%s", got)
	}
	if got := told.String(); strings.Count(got, "reached its limit") != 1 {
		t.Error(got)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestLogReopen(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/console.log"
	if err := os.WriteFile(path, []byte("torn"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLog(path, 1<<20, logTo(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Record([]byte("half"), noon)
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	l.Record([]byte(" a line\nand"), noon)
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	l.Record([]byte(" on"), noon)
	if got := read(t, path+".old"); got != "torn\n"+stamp+"half a line\n"+stamp+"and\n" {
		t.Errorf("the old log:\n%s", got)
	}
	if got := read(t, path); got != stamp+" on" {
		t.Errorf("the new log:\n%s", got)
	}
	if info, err := os.Stat(path + ".old"); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(fmt.Sprint(info.Mode()), err)
	}
	if _, err := OpenLog(os.DevNull, 1, nil); !errors.Is(err, ErrNotFile) {
		t.Error(err)
	}
}
