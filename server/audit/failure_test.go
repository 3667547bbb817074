package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
)

// faulty writes the first part octets of a write, then fails, while it has an error.
type faulty struct {
	io.Writer
	err  error
	part int
}

func (f *faulty) Write(p []byte) (int, error) {
	if f.err == nil {
		return f.Writer.Write(p)
	}
	n, err := f.Writer.Write(p[:min(f.part, len(p))])
	return n, errors.Join(err, f.err)
}

func TestServiceResumesAfterAFailure(t *testing.T) {
	t.Parallel()
	for _, part := range []int{0, 10, 300, 1 << 20} {
		l, path := open(t, Options{})
		disk := &faulty{Writer: l.file, part: part}
		l.w = disk
		record(t, l, "a")
		head := l.Head()
		disk.err = syscall.ENOSPC
		for range 3 {
			request(l)
			if err := l.Flush(); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("Flush: %v", err)
			}
		}
		equal(t, "head", l.Head(), head)
		disk.err = nil
		check(t, l.Flush()) // nothing new: the kept ones alone
		record(t, l, "b")
		equal(t, "events", events(t, read(t, path)), []string{"a", "request", "request", "request", "b"})
		heads := links(t, read(t, path), zeros)
		equal(t, "head", l.Head(), heads[4])
	}
}

func TestRetryOnAnyWriter(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := &faulty{Writer: &out, err: syscall.ENOSPC}
	l := New(w, Options{})
	request(l)
	if err := l.Flush(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Flush: %v", err)
	}
	w.err = nil
	check(t, l.Flush())
	equal(t, "lines", len(links(t, out.String(), zeros)), 1)
	check(t, l.Close())
}

func TestEmptiedFileIsNotStretched(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	disk := &faulty{Writer: l.file, part: 10}
	l.w = disk
	record(t, l, "a")
	disk.err = syscall.ENOSPC
	l.Info("b", "").Send()
	if l.Flush() == nil {
		t.Fatal("no failure")
	}
	check(t, os.Truncate(path, 0))
	disk.err = nil
	record(t, l, "c")
	equal(t, "events", events(t, read(t, path)), []string{"b", "c"})
}

func TestPendingIsBounded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := &faulty{Writer: &out, err: syscall.ENOSPC}
	l := New(w, Options{})
	payload := strings.Repeat("x", 64<<10)
	for range 40 {
		l.Info("request", "").Str("payload", payload).Send()
	}
	if len(l.out) > maxKept+len(payload)+1024 {
		t.Fatalf("%d octets are kept", len(l.out))
	}
	for range 2 {
		if err := l.Flush(); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrDropped) {
			t.Fatalf("Flush: %v", err)
		}
	}
	w.err = nil
	if err := l.Flush(); !errors.Is(err, ErrDropped) {
		t.Fatalf("Flush: %v", err)
	}
	record(t, l, "after")
	names := events(t, out.String())
	kept := len(names) - 2
	equal(t, "the last events", names[kept:], []string{"log.drop", "after"})
	if want := fmt.Sprintf(`"event":"log.drop","records":%d,`, 40-kept); kept == 0 || !strings.Contains(out.String(), want) {
		t.Fatalf("no %s, with %d kept", want, kept)
	}
	links(t, out.String(), zeros)
}

func TestManyRecordsBeforeAFlush(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := New(&out, Options{})
	payload := strings.Repeat("x", 3<<20)
	for range 3 {
		l.Info("request", "").Str("payload", payload).Send()
	}
	check(t, l.Flush())
	equal(t, "lines", len(links(t, out.String(), zeros)), 3)
}

func TestNoLineIsDropped(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"newline": "{\n}",
		"length":  `"` + strings.Repeat("x", MaxLine) + `"`,
	} {
		var out bytes.Buffer
		l := New(&out, Options{})
		l.Info("a", "").RawJSON("x", []byte(raw)).Send()
		if err := l.Flush(); !errors.Is(err, ErrDropped) {
			t.Fatalf("%s: Flush: %v", name, err)
		}
		equal(t, name, events(t, out.String()), []string{"log.drop"})
		_, err := Verify(&out, "log", l.Head())
		check(t, err)
	}
}

func TestLongestLineVerifies(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := New(&out, Options{Now: clock})
	l.Info("a", "").Str("x", strings.Repeat("x", MaxLine-300)).Send()
	check(t, l.Flush())
	_, err := Verify(&out, "log", l.Head())
	check(t, err)
}

// TestZerologSwitchedOff changes a global of zerolog's, so it runs alone.
func TestZerologSwitchedOff(t *testing.T) {
	var out bytes.Buffer
	l := New(&out, Options{})
	zerolog.SetGlobalLevel(zerolog.Disabled)
	request(l)
	zerolog.SetGlobalLevel(zerolog.TraceLevel)
	if err := l.Flush(); !errors.Is(err, ErrDropped) {
		t.Fatalf("Flush: %v", err)
	}
	record(t, l, "a")
}

func TestManyGoroutines(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for n := range 100 {
				l.Info("request", fmt.Sprint(g)).Int("n", n).Send()
				if err := l.Flush(); err != nil {
					t.Error(err)
				}
				_ = l.Head()
				if n%50 == 0 {
					_ = l.Reopen()
				}
			}
		})
	}
	all.Wait()
	log := read(t, path)
	equal(t, "lines", len(links(t, log, zeros)), 800)
	next := map[string]int{}
	for line := range strings.Lines(log) {
		var record struct {
			Conn string
			N    int
		}
		check(t, json.Unmarshal([]byte(line), &record))
		equal(t, "n of "+record.Conn, record.N, next[record.Conn])
		next[record.Conn]++
	}
}
