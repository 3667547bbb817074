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
	"runtime/debug"
	"slices"
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

// links recomputes the chain of a log, independently of the product, and returns the value of each line.
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

// parsed parses each line of a log.
func parsed[Record any](t *testing.T, log string) (records []Record) {
	t.Helper()
	for line := range strings.Lines(log) {
		var r Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		records = append(records, r)
	}
	return records
}

// holds checks the events of a log.
func holds(t *testing.T, log string, want ...string) {
	t.Helper()
	var got []string
	for _, r := range parsed[struct{ Event string }](t, log) {
		got = append(got, r.Event)
	}
	equal(t, "events", got, want)
}

// chained checks the events and the chain of a log that begins with the chain.
func chained(t *testing.T, log string, want ...string) (heads []string) {
	t.Helper()
	holds(t, log, want...)
	return links(t, log, zeros)
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	check(t, err)
	return string(content)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// is checks which error err is.
func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, want: %v", what, err, want)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// verify checks that a log is sound, and returns the report.
func verify(t *testing.T, log, head string) Report {
	t.Helper()
	rep, err := Verify(strings.NewReader(log), "log", head)
	check(t, err)
	return rep
}

// open opens a log on a new path and closes it at the end of the test.
func open(t *testing.T, o Options) (*Log, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	return opened(t, path, o), path
}

func opened(t *testing.T, path string, o Options) *Log {
	t.Helper()
	l, err := Open(path, o)
	check(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// record sends and flushes one record per event.
func record(t *testing.T, l *Log, names ...string) {
	t.Helper()
	for _, name := range names {
		l.Info(name, "").Send()
		check(t, l.Flush())
	}
}

// request sends the record of a request.
func request(l *Log, n int) {
	l.Info("request", "c1").Int("n", n).Str("verb", "ECHO").Int("argument_bytes", 5).Int("body_bytes", 0).
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

// Each record has its own time, to the microsecond, even if the clock goes back.
func TestTimes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var now time.Time
	l := New(&out, Options{Now: func() time.Time { return now }})
	var got []string
	want := []string{
		"2026-03-01T23:59:59.999999Z", "2026-03-02T00:00:00.000000Z", "2026-03-02T00:00:00.000001Z",
		"2026-03-02T00:00:01.120000Z", "2026-03-01T23:59:59.500000Z", "1969-12-31T23:59:59.250000Z",
	}
	for _, text := range want {
		var err error
		now, err = time.Parse(time.RFC3339, text)
		check(t, err)
		record(t, l, "server.start")
	}
	for _, r := range parsed[struct{ Time string }](t, out.String()) {
		got = append(got, r.Time)
	}
	equal(t, "times", got, want)

	out.Reset()
	before := time.Now().Truncate(time.Microsecond)
	record(t, New(&out, Options{}), "a")
	if at := parsed[struct{ Time time.Time }](t, out.String())[0].Time; at.Before(before) || at.After(time.Now()) {
		t.Fatalf("without a clock the time is %v", at)
	}
}

func TestFlushIsOneWrite(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := &faulty{Writer: &out}
	l := New(w, Options{})
	for n := range 20 {
		request(l, n)
	}
	check(t, l.Flush())
	check(t, l.Flush())
	equal(t, "writes", w.writes, 1)
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
		holds(t, out.String(), "a", "b")
		verify(t, out.String(), l.Head())
	}
}

func TestNoAllocation(t *testing.T) {
	build, _ := debug.ReadBuildInfo()
	if slices.Contains(build.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector makes sync.Pool forget")
	}
	for name, w := range map[string]io.Writer{"discard": io.Discard, "file": nil} {
		l := New(w, Options{})
		if w == nil {
			l, _ = open(t, Options{})
		}
		got := testing.AllocsPerRun(500, func() {
			request(l, 1)
			request(l, 2)
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

// unsyncable returns a file that can't be synced: a pipe.
func unsyncable(t *testing.T) *os.File {
	t.Helper()
	_, pipe, err := os.Pipe()
	check(t, err)
	t.Cleanup(func() { _ = pipe.Close() })
	return pipe
}

// A method that syncs fails on a file that can't be synced.
func TestSync(t *testing.T) {
	t.Parallel()
	for when, want := range map[Sync][3]bool{SyncNone: {}, SyncSession: {false, true, true}, SyncRecord: {true, true, true}} {
		for n, method := range []func(*Log) error{(*Log).Flush, (*Log).SessionEnd, (*Log).Reopen} {
			l, _ := open(t, Options{Sync: when})
			good := l.file
			l.file = unsyncable(t)
			l.Info("a", "").Send()
			equal(t, fmt.Sprintf("%v: method %d fails", when, n), method(l) != nil, want[n])
			check(t, good.Close())
		}
	}
}

func TestRecordIsWrittenAgainWhenItCouldNotBeSynced(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{Sync: SyncRecord})
	record(t, l, "a")
	good, head := l.file, l.Head()
	l.file = unsyncable(t)
	l.Info("b", "").Send()
	if l.Flush() == nil || l.Head() != head {
		t.Fatal("a record that is not on the disk was acknowledged")
	}
	l.file = good
	record(t, l, "c")
	chained(t, read(t, path), "a", "b", "c")
}
