package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var zeros = strings.Repeat("0", 64)

// clock gives a fixed time in a zone that is not UTC.
func clock() time.Time {
	return time.Date(2026, 3, 1, 1, 2, 3, 456789123, time.FixedZone("", 2*60*60))
}

// links recomputes the chain of a log, independently of the product, and returns the lines' values.
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

func check(t testing.TB, err error) {
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
