package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
)

var zeros = strings.Repeat("0", 64)

// clock gives a fixed time in a zone that is not UTC.
func clock() time.Time {
	return time.Date(2026, 3, 1, 1, 2, 3, 456789123, time.FixedZone("", 2*60*60))
}

// links recomputes the chain of a log, independently of the product, and
// returns the lines' values.
func links(t *testing.T, log, from string) (heads []string) {
	t.Helper()
	for n, line := range strings.Split(strings.TrimSuffix(log, "\n"), "\n") {
		body, chain, ok := strings.Cut(line, `,"chain":"`)
		sum := sha256.Sum256([]byte(from + body))
		from = hex.EncodeToString(sum[:])
		if !ok || chain != from+`"}` {
			t.Fatalf("line %d: want the chain %s: %s", n+1, from, line)
		}
		heads = append(heads, from)
	}
	return heads
}

// events lists the events of a log.
func events(t *testing.T, log string) (names []string) {
	t.Helper()
	for line := range strings.Lines(log) {
		var record struct{ Event string }
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		names = append(names, record.Event)
	}
	return names
}

func read(t *testing.T, path string) string {
	t.Helper()
	octets, err := os.ReadFile(path)
	check(t, err)
	return string(octets)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// open opens a log on a new path and closes it at the end of the test.
func open(t *testing.T, o Options) (*Log, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l, err := Open(path, o)
	check(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l, path
}

// record sends and flushes one record per event.
func record(t *testing.T, l *Log, names ...string) {
	t.Helper()
	for _, name := range names {
		l.Info(name, "").Send()
		check(t, l.Flush())
	}
}

func request(l *Log) {
	l.Info("request", "c1").Int("n", 7).Str("verb", "ECHO").Int("argument_bytes", 5).Int("body_bytes", 0).
		Int("code", 250).Str("keyword", "").Int("reply_bytes", 12).Float64("duration", 0.000123).Send()
}

func TestLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := New(&out, Options{Now: clock})
	equal(t, "head at first", l.Head(), zeros)
	l.Warn("login.fail", "c1").Str("user", "eve").Send()
	l.Error("handler.panic", "c1").Float64("duration", (1500 * time.Millisecond).Seconds()).Send()
	l.Info("server.stop", "").Send()
	equal(t, "before the flush", out.String(), "")
	check(t, l.Flush())
	heads := links(t, out.String(), zeros)
	equal(t, "log", out.String(), ""+
		`{"time":"2026-02-28T23:02:03.456789Z","level":"warn","event":"login.fail","conn":"c1","user":"eve","chain":"`+heads[0]+"\"}\n"+
		`{"time":"2026-02-28T23:02:03.456789Z","level":"error","event":"handler.panic","conn":"c1","duration":1.5,"chain":"`+heads[1]+"\"}\n"+
		`{"time":"2026-02-28T23:02:03.456789Z","level":"info","event":"server.stop","chain":"`+heads[2]+"\"}\n")
	equal(t, "head", l.Head(), heads[2])
}

func TestNowDefaultsToTheClock(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	before := time.Now().Truncate(time.Microsecond)
	l := New(&out, Options{})
	record(t, l, "a")
	var got struct{ Time time.Time }
	check(t, json.Unmarshal(out.Bytes(), &got))
	if got.Time.Before(before) || got.Time.After(time.Now()) {
		t.Fatalf("time is %v", got.Time)
	}
}

type counter struct {
	bytes.Buffer
	writes int
}

func (c *counter) Write(p []byte) (int, error) {
	c.writes++
	return c.Buffer.Write(p)
}

func TestFlushIsOneWrite(t *testing.T) {
	t.Parallel()
	var out counter
	l := New(&out, Options{})
	for range 20 {
		request(l)
	}
	check(t, l.Flush())
	check(t, l.Flush())
	equal(t, "writes", out.writes, 1)
	equal(t, "lines", len(links(t, out.String(), zeros)), 20)
}

func TestValuesStayInTheirLine(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"a\nb\r\n", `"}` + "\n" + `{"event":"forged"}`, `","chain":"` + zeros + `"}`, `\`, "\x1b[2J\x00\x7f",
		"\u202eevil\u2066", "\u2028\u2029\u0085", "bad\xff\xfe utf8", `,"head":"` + zeros,
	} {
		var out bytes.Buffer
		l := New(&out, Options{Now: clock})
		l.Info("a", value).Str("user", value).Bytes("b", []byte(value)).Str(value, "").Send()
		record(t, l, "b")
		equal(t, "events", events(t, out.String()), []string{"a", "b"})
		_, err := Verify(&out, "log", l.Head())
		check(t, err)
	}
}

func TestNoAllocation(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes sync.Pool forget")
	}
	for name, w := range map[string]io.Writer{"discard": io.Discard, "file": nil} {
		l := New(w, Options{})
		if w == nil {
			l, _ = open(t, Options{})
		}
		got := testing.AllocsPerRun(500, func() {
			request(l)
			request(l)
			if err := l.Flush(); err != nil {
				panic(err)
			}
		})
		equal(t, name, got, 0.0)
	}
}

func TestSyncIsAFlagValue(t *testing.T) {
	t.Parallel()
	for want, word := range []string{"none", "session", "record"} {
		s := SyncNone
		check(t, s.Set(word))
		equal(t, word, s, Sync(want))
		equal(t, "word", s.String(), word)
	}
	s := SyncSession
	for _, word := range []string{"", "None", "none|session", "records", "1"} {
		if s.Set(word) == nil || s != SyncSession {
			t.Errorf("%q is taken as %v", word, s)
		}
	}
}

// TestSync finds out who asks for an fsync: on a pipe it fails.
func TestSync(t *testing.T) {
	t.Parallel()
	for when, want := range map[Sync][2]bool{SyncNone: {false, false}, SyncSession: {false, true}, SyncRecord: {true, true}} {
		l, _ := open(t, Options{Sync: when})
		good := l.file
		_, pipe, err := os.Pipe()
		check(t, err)
		defer pipe.Close()
		l.file = pipe
		l.Info("a", "").Send()
		equal(t, when.String()+": Flush fails", l.Flush() != nil, want[0])
		equal(t, when.String()+": SessionEnd fails", l.SessionEnd() != nil, want[1])
		l.file, l.out, l.failed = good, nil, false
		check(t, l.SessionEnd())
	}
}

func TestReopenSyncsTheOldFile(t *testing.T) {
	t.Parallel()
	for when, want := range map[Sync]bool{SyncNone: false, SyncSession: true} {
		l, _ := open(t, Options{Sync: when})
		record(t, l, "a")
		good := l.file
		_, pipe, err := os.Pipe()
		check(t, err)
		l.file = pipe
		equal(t, when.String()+": Reopen fails", l.Reopen() != nil, want)
		check(t, good.Close())
	}
}

func TestRecordIsWrittenAgainWhenItCouldNotBeSynced(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{Sync: SyncRecord})
	record(t, l, "a")
	good, head := l.file, l.Head()
	_, pipe, err := os.Pipe()
	check(t, err)
	defer pipe.Close()
	l.file = pipe
	l.Info("b", "").Send()
	if l.Flush() == nil || l.Head() != head {
		t.Fatal("a record that is not on the disk was acknowledged")
	}
	l.file = good
	record(t, l, "c")
	equal(t, "events", events(t, read(t, path)), []string{"a", "b", "c"})
	links(t, read(t, path), zeros)
}

// faulty writes the first part octets of a write, then fails, while it has an
// error.
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
		if _, err := Open(path, Options{}); !errors.Is(err, ErrNoChain) ||
			!strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "sallyport log verify") {
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
	for _, want := range []string{"", old, l.Head()} {
		rep, err := Verify(strings.NewReader(log), path, want)
		check(t, err)
		equal(t, "report", rep, Report{Lines: 2, Head: l.Head(), From: old})
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
