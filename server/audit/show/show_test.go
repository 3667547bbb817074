package show

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/server/audit"
)

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

const shown = `{"time":"2026-03-01T12:00:00.000000Z","level":"info","event":"server.start","listen":"127.0.0.1:7443","chain":"00"}
{"time":"2026-03-01T12:00:01.250000Z","level":"info","event":"login.ok","conn":"c1","user":"alice","binding":"tls-exporter","chain":"00"}
{"time":"2026-03-01T12:00:02.000000Z","level":"info","event":"login.ok","conn":"c2","user":"bob","chain":"00"}
{"time":"2026-03-01T12:00:03.000000Z","level":"info","event":"request","conn":"c1","verb":"SAY","argument_bytes":0,"code":250,"duration":1.5e-05,"ok":true,"more":{"a":["b c",{}]},"keyword":"","none":null,"no":false,"list":[],"chain":"00"}
{"time":"2026-03-01T12:00:04.000000Z","level":"info","event":"session.close","conn":"c1","reason":"quit","duration":0,"chain":"00"}
{"time":"2026-03-01T12:00:05.000000Z","level":"warn","event":"login.fail","conn":"c1","user":"eve\n\u001b[2J\u202e\"=","chain":"00"}
{"time":"2026-03-01T12:00:06.000000Z","level":"error","event":"handler.panic","conn":"c2","error":"two words","duration":"1 s","waited":1e999,"chain":"00"}
not a record ` + "\x1b[31m\xff" + `
{"time":"yesterday","level":"info","event":"x y","chain":"00"}
 { "time" : "2026-03-01T12:00:06.000000Z" }
{ "time" : "2026-03-01T12:00:06.000000Z" , "le\u0076el" :"\u0069nfo", "a" : [ 1 , "]" ] , "b\"":-1.50 }` + "\r" + `
{"time":"2026-03-01T12:00:07.000000Z","level":"info","event":"torn"`

// show returns what Records prints of a log.
func show(t *testing.T, o Options, logs ...string) string {
	t.Helper()
	return printed(t, Records, o, logs)
}

func printed(t *testing.T, print printFunc, o Options, logs []string) string {
	t.Helper()
	var out strings.Builder
	var files []audit.File
	for _, log := range logs {
		files = append(files, file(log))
	}
	check(t, print(&out, o, files...))
	return out.String()
}

func file(log string) audit.File { return audit.File{Name: "log", Reader: strings.NewReader(log)} }

func TestRecords(t *testing.T) {
	t.Parallel()
	equal(t, "shown", show(t, Options{}, shown), `2026-03-01 12:00:00.000Z -        server.start  listen=127.0.0.1:7443
2026-03-01 12:00:01.250Z c1       login.ok      user=alice binding=tls-exporter
2026-03-01 12:00:02.000Z c2       login.ok      user=bob
2026-03-01 12:00:03.000Z c1       request       verb=SAY code=250 duration=15 µs ok=true more="{\"a\":[\"b c\",{}]}" no=false
2026-03-01 12:00:04.000Z c1       session.close reason=quit
2026-03-01 12:00:05.000Z c1       login.fail    level=warn user="eve\n\x1b[2J\u202e\"="
2026-03-01 12:00:06.000Z c2       handler.panic level=error error="two words" duration="1 s" waited=1e999
! "not a record \x1b[31m\xff"
yesterday -        "x y"
! " { \"time\" : \"2026-03-01T12:00:06.000000Z\" }"
2026-03-01 12:00:06.000Z -        -             a="[ 1 , \"]\" ]" "b\""=-1.50
! "{\"time\":\"2026-03-01T12:00:07.000000Z\",\"level\":\"info\",\"event\":\"torn\""
`)
}

func TestRecordsInColour(t *testing.T) {
	t.Parallel()
	out := show(t, Options{Colour: true}, shown)
	for _, want := range []string{
		"\n\x1b[33m2026-03-01 12:00:05.000Z c1       login.fail    level=warn user=\"eve\\n\\x1b[2J\\u202e\\\"=\"\x1b[0m\n",
		"\n\x1b[31m2026-03-01 12:00:06.000Z c2       handler.panic level=error",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	equal(t, "escapes", strings.Count(out, "\x1b"), 4)
	plain := regexp.MustCompile("\x1b\\[\\d+m").ReplaceAllString(out, "")
	equal(t, "without the colours", plain, show(t, Options{}, shown))
}

func TestRecordsThatAreChosen(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "server.start login.ok login.ok request session.close login.fail handler.panic ! x ! - !"},
		{Options{Since: since}, "login.fail handler.panic ! x ! - !"},
		{Options{User: "alice"}, "login.ok request session.close ! ! !"},
		{Options{User: "bob"}, "login.ok handler.panic ! ! !"},
		{Options{User: "bob", Since: since}, "handler.panic ! ! !"},
		{Options{User: "bob", Events: []string{"handler.panic"}}, "handler.panic ! ! !"},
		{Options{User: "nobody"}, "! ! !"},
		{Options{Conns: []string{"c2"}}, "login.ok handler.panic ! ! !"},
		{Options{Conns: []string{"c2", "c1"}}, "login.ok login.ok request session.close login.fail handler.panic ! ! !"},
		{Options{Conns: []string{"c"}}, "! ! !"},
		{Options{Events: []string{"login.ok"}}, "login.ok login.ok ! ! !"},
		{Options{Events: []string{"login.ok", "session.close"}}, "login.ok login.ok session.close ! ! !"},
		{Options{Events: []string{"login.ok"}, Conns: []string{"c2"}}, "login.ok ! ! !"},
		{Options{Events: []string{"login"}}, "! ! !"},
	} {
		var names []string
		for line := range strings.Lines(show(t, c.o, shown)) {
			words := strings.Fields(strings.ReplaceAll(line, "yesterday", "never yesterday"))
			if words[0] != "!" {
				words = words[3:]
			}
			names = append(names, strings.Trim(words[0], `"`))
		}
		equal(t, "events", strings.Join(names, " "), c.want)
	}
}

// A connection is known to be a user's in the next file, but not after a restart of the server.
func TestRecordsOfAConnectionInSeveralFiles(t *testing.T) {
	t.Parallel()
	const login, request = `{"time":"2026-03-01T23:30:00Z","event":"login.ok","conn":"c1","user":"alice"}` + "\n", `{"time":"","event":"request","conn":"c1"}` + "\n"
	const shown = "2026-03-02 00:30:00.000+01:00 c1       login.ok      user=alice\n"
	east := Options{User: "alice", Zone: time.FixedZone("", 3600)}
	equal(t, "shown", show(t, east, login+"{", "", request), shown+"! {\n"+`"" c1       request`+"\n")
	equal(t, "after a restart", show(t, east, login+`{"event":"server.start"}`+"\n"+request), shown)
}

// Records shows what it has read before it reads more, so that a log can be watched through a pipe.
func TestRecordsAreShownAtOnce(t *testing.T) {
	t.Parallel()
	in, write := io.Pipe()
	shown, out := io.Pipe()
	ended := make(chan error)
	go func() { ended <- Records(out, Options{}, audit.File{Name: "log", Reader: in}) }()
	for range 3 {
		_, err := io.WriteString(write, `{"time":"","event":"x"}`+"\n")
		check(t, err)
		line := make([]byte, 100)
		n, err := shown.Read(line)
		check(t, err)
		equal(t, "shown", string(line[:n]), `"" -        x`+"\n")
	}
	check(t, write.Close())
	check(t, <-ended)
}

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"alice": "alice", "müller": "müller", "日本": "日本", "a.b:c/d-e": "a.b:c/d-e",
		"": `""`, "a b": `"a b"`, "a=b": `"a=b"`, `a"b`: `"a\"b"`, `a\b`: `"a\\b"`,
		"\x1b[2J": `"\x1b[2J"`, "\u009b2J": `"\u009b2J"`, "\r": `"\r"`, "\x7f": `"\x7f"`, "\xff": `"\xff"`,
		"a\u202eb": `"a\u202eb"`, "\u2066": `"\u2066"`, "\u200b": `"\u200b"`, "\u00ad": `"\u00ad"`, "\u00a0": `"\u00a0"`,
		"\u3164": `"\u3164"`, "\u115f": `"\u115f"`, "\u2800": `"\u2800"`, "a\ufe0f": `"a\ufe0f"`, "\u034f": `"\u034f"`,
		"\U000e0041": `"\U000e0041"`, "\u2028": `"\u2028"`, "\ufeff": `"\ufeff"`,
	} {
		equal(t, in, string(appendText(nil, []byte(in))), want)
		equal(t, in, quote(in), want)
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for in, want := range map[float64]string{
		4.21e-7: "421 ns", 4e-9: "4 ns", 5e-10: "0.5 ns", 9.994e-7: "999 ns", 9.996e-7: "1 µs",
		1.5e-5: "15 µs", 0.000508586: "509 µs", 0.9994: "999 ms", 0.99951: "1 s", 0.00125: "1.25 ms",
		18.4567: "18.5 s", 1.5: "1.5 s", 59.94: "59.9 s", 59.96: "1 min", 60: "1 min", 125.4: "2 min 5 s",
		3599.4: "59 min 59 s", 3599.6: "1 h", 12345: "3 h 26 min", 86369: "23 h 59 min", 86371: "1 d",
		273600: "3 d 4 h", 1e9: "11574 d 2 h", 0: "0 ns", -18.4567: "-18.5 s", -125: "-2 min 5 s",
	} {
		equal(t, want, Duration(in), want)
	}
}

// printFunc is the type of Records and Sessions.
type printFunc = func(io.Writer, Options, ...audit.File) error

func TestFaults(t *testing.T) {
	t.Parallel()
	disk := errors.New("disk on fire")
	long := `{"time":"` + strings.Repeat("x", audit.MaxLine)
	for name, print := range map[string]printFunc{"records": Records, "sessions": Sessions} {
		for _, c := range []struct {
			in   io.Reader
			want error
			text string
		}{
			{strings.NewReader(long), audit.ErrTooLong, "two: audit: longer than"},
			{strings.NewReader("GIF89a"), audit.ErrNotLog, "two: audit: this is not an interaction log"},
			{iotest.ErrReader(disk), disk, "two: disk on fire"},
			{iotest.ErrReader(&fs.PathError{Op: "read", Path: "two", Err: disk}), disk, "read two: disk on fire"},
		} {
			var out strings.Builder
			err := print(&out, Options{}, file(ended), audit.File{Name: "two", Reader: c.in})
			if !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), c.text) {
				t.Errorf("%s: %v", name, err)
			}
			if out.Len() == 0 {
				t.Errorf("%s: what was read before is not shown", name)
			}
		}
		read, full := io.Pipe()
		check(t, read.CloseWithError(disk))
		if err := print(full, Options{}, file(ended)); !errors.Is(err, disk) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzRecords checks that each line becomes one line, with printable characters alone.
func FuzzRecords(f *testing.F) {
	f.Add(shown)
	f.Add("{\"\u202e\":\"\u0085\",\"\":[\"\u200b\"]}\n{}\n[]\n\n{\"a\":1,\"a\":{}}\n")
	names, err := fixtures.Seeds('C', fixtures.Symbols{"cnonce": "abc", "gs2": "n,,", "bind": "n", "name": "alice"})
	check(f, err)
	for _, name := range names {
		quoted, err := json.Marshal(name)
		check(f, err)
		f.Add(`{"event":"login.fail","user":` + string(quoted) + "}\n" + name + "\n")
	}
	f.Fuzz(func(t *testing.T, log string) {
		log = `{"time":""}` + "\n" + log
		out := show(t, Options{}, log)
		want := strings.Count(log, "\n")
		if !strings.HasSuffix(log, "\n") {
			want++
		}
		equal(t, "lines", strings.Count(out, "\n"), want)
		for _, r := range out + printed(t, Sessions, Options{}, []string{log}) {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("%q in %q", r, out)
			}
		}
		for line := range strings.Lines(log) {
			sameFields(t, line)
		}
	})
}

// sameFields compares the fields of a line with what encoding/json finds.
func sameFields(t *testing.T, line string) {
	t.Helper()
	var r record
	if r.parse([]byte(line)); !r.valid || !utf8.ValidString(line) {
		return
	}
	decode := func(text []byte) (value any) {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		check(t, d.Decode(&value))
		return value
	}
	got, want := map[string]any{}, decode([]byte(line))
	for _, f := range r.fields {
		value := decode(f.value)
		if text, ok := value.(string); ok && text != string(f.text) {
			t.Fatalf("%q, not %q", f.text, text)
		}
		got[string(f.name)] = value
	}
	equal(t, "fields", got, want)
}

// Long names and addresses of IPv6 don't shift the columns behind them.
func TestSessionsLineUp(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	for i, user := range []string{"bob", "the operator of the night shift", "ÅÅÅÅÅÅÅÅÅÅÅÅÅÅÅ"} {
		remote := []string{"192.0.2.1:5", "[2001:db8:1111:2222:3333:4444:5555:6666]:65000", "[::1]:5"}[i]
		at := fmt.Sprintf(`{"time":"2026-03-01T12:00:0%d.000000Z","event":`, i)
		fmt.Fprintf(&log, "%s\"conn.accept\",\"conn\":\"c%d\",\"remote\":%q}\n", at, i, remote)
		fmt.Fprintf(&log, "%s\"session.open\",\"conn\":\"c%d\",\"user\":%q}\n", at, i, user)
		fmt.Fprintf(&log, "%s\"session.close\",\"conn\":\"c%d\",\"user\":%q,\"reason\":\"quit\",\"requests\":1,\"duration\":1.5}\n", at, i, user)
	}
	columns := map[string]int{}
	for line := range strings.Lines(printed(t, Sessions, Options{}, []string{log.String()})) {
		for _, word := range []string{" from ", "1.5 s", " 1 request", "quit"} {
			before, _, found := strings.Cut(line, word)
			at := utf8.RuneCountInString(before)
			if was, seen := columns[word]; !found || seen && was != at {
				t.Errorf("%q begins at %d, not at %d:\n%s", word, at, was, line)
			}
			columns[word] = at
		}
	}
}
