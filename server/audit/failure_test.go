package audit

import (
	"bytes"
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

// faulty counts writes. While it has an error it writes only the first part bytes of each, and fails.
type faulty struct {
	io.Writer
	err    error
	part   int
	writes int
}

func (f *faulty) Write(p []byte) (int, error) {
	f.writes++
	if f.err == nil {
		return f.Writer.Write(p)
	}
	n, err := f.Writer.Write(p[:min(f.part, len(p))])
	return n, errors.Join(err, f.err)
}

// onFaultyDisk opens a log with a record "a" on a disk that is not full yet.
func onFaultyDisk(t *testing.T, part int) (l *Log, path string, disk *faulty) {
	t.Helper()
	l, path = open(t, Options{})
	disk = &faulty{Writer: l.file, part: part}
	l.w = disk
	record(t, l, "a")
	return l, path, disk
}

func TestServiceResumesAfterAFailure(t *testing.T) {
	t.Parallel()
	for _, part := range []int{0, 10, 300, 1 << 20} {
		l, path, disk := onFaultyDisk(t, part)
		head := l.Head()
		disk.err = syscall.ENOSPC
		for n := range 3 {
			request(l, n)
			is(t, "Flush", l.Flush(), syscall.ENOSPC)
		}
		equal(t, "head", l.Head(), head)
		disk.err = nil
		check(t, l.Flush()) // nothing new: only the kept records
		record(t, l, "b")
		heads := chained(t, read(t, path), "a", "request", "request", "request", "b")
		equal(t, "head", l.Head(), heads[4])
	}
}

func TestEmptiedFileIsNotStretched(t *testing.T) {
	t.Parallel()
	l, path, disk := onFaultyDisk(t, 10)
	disk.err = syscall.ENOSPC
	l.Info("b", "").Send()
	is(t, "Flush", l.Flush(), syscall.ENOSPC)
	check(t, os.Truncate(path, 0))
	disk.err = nil
	record(t, l, "c")
	holds(t, read(t, path), "log.rotate", "b", "c")
}

// A log on any writer keeps a bounded number of records too, and its Close closes nothing.
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
		t.Fatalf("%d bytes are kept", len(l.out))
	}
	for range 2 {
		if err := l.Flush(); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrDropped) {
			t.Fatalf("Flush: %v", err)
		}
	}
	w.err = nil
	is(t, "Flush", l.Flush(), ErrDropped)
	record(t, l, "after")
	lost := parsed[struct{ Records int }](t, out.String())
	kept := len(lost) - 2
	equal(t, "lost records", lost[kept].Records, 40-kept)
	chained(t, out.String(), append(strings.Fields(strings.Repeat("request ", max(kept, 1))), "log.drop", "after")...)
	check(t, l.Close())
}

func TestLongRecords(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		value string
		count int
		want  string
		err   error
	}{
		"not one line": {"{\n}", 1, "log.drop", ErrDropped},
		"too long":     {`"` + strings.Repeat("x", MaxLine) + `"`, 1, "log.drop", ErrDropped},
		"longest":      {`"` + strings.Repeat("x", MaxLine-300) + `"`, 1, "a", nil},
		"several":      {`"` + strings.Repeat("x", 3<<20) + `"`, 3, "a a a", nil},
	} {
		var out bytes.Buffer
		l := New(&out, Options{Now: clock})
		for range c.count {
			l.Info("a", "").RawJSON("x", []byte(c.value)).Send()
		}
		is(t, name, l.Flush(), c.err)
		holds(t, out.String(), strings.Fields(c.want)...)
		verify(t, out.String(), l.Head())
	}
}

// TestZerologSwitchedOff changes a global variable of zerolog, so it is not parallel.
func TestZerologSwitchedOff(t *testing.T) {
	l := New(io.Discard, Options{})
	zerolog.SetGlobalLevel(zerolog.Disabled)
	request(l, 1)
	zerolog.SetGlobalLevel(zerolog.TraceLevel)
	is(t, "Flush", l.Flush(), ErrDropped)
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
	for _, r := range parsed[struct {
		Conn string
		N    int
	}](t, log) {
		equal(t, "n of "+r.Conn, r.N, next[r.Conn])
		next[r.Conn]++
	}
}
