package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/sallyport/sallyport/fixtures"
)

const shown = `{"time":"2026-03-01T12:00:00.000000Z","level":"info","event":"server.start","listen":"127.0.0.1:7443","chain":"00"}
{"time":"2026-03-01T12:00:01.250000Z","level":"info","event":"login.ok","conn":"c1","user":"alice","binding":"tls-exporter","chain":"00"}
{"time":"2026-03-01T12:00:02.000000Z","level":"info","event":"login.ok","conn":"c2","user":"bob","chain":"00"}
{"time":"2026-03-01T12:00:03.000000Z","level":"info","event":"request","conn":"c1","verb":"SAY","code":250,"duration":1.5e-05,"ok":true,"more":{"a":["b c"]},"keyword":"","chain":"00"}
{"time":"2026-03-01T12:00:04.000000Z","level":"info","event":"session.close","conn":"c1","reason":"quit","chain":"00"}
{"time":"2026-03-01T12:00:05.000000Z","level":"warn","event":"login.fail","conn":"c1","user":"eve\n\u001b[2J\u202e\"=","chain":"00"}
{"time":"2026-03-01T12:00:06.000000Z","level":"error","event":"handler.panic","conn":"c2","error":"two words","chain":"00"}
not a record ` + "\x1b[31m\xff" + `
{"time":"yesterday","level":"info","event":"x","chain":"00"}
{"time":"2026-03-01T12:00:07.000000Z","level":"info","event":"torn"`

func show(t *testing.T, log string, o ShowOptions) string {
	t.Helper()
	o.Location = time.FixedZone("", 3600)
	var out bytes.Buffer
	check(t, Show(&out, strings.NewReader(log), o))
	return out.String()
}

func TestShow(t *testing.T) {
	t.Parallel()
	equal(t, "shown", show(t, shown, ShowOptions{}), `2026-03-01 13:00:00.000 -        server.start  listen=127.0.0.1:7443
2026-03-01 13:00:01.250 c1       login.ok      user=alice binding=tls-exporter
2026-03-01 13:00:02.000 c2       login.ok      user=bob
2026-03-01 13:00:03.000 c1       request       verb=SAY code=250 duration=1.5e-05 ok=true more="{\"a\":[\"b c\"]}" keyword=""
2026-03-01 13:00:04.000 c1       session.close reason=quit
2026-03-01 13:00:05.000 c1       login.fail    level=warn user="eve\n\x1b[2J\u202e\"="
2026-03-01 13:00:06.000 c2       handler.panic level=error error="two words"
! "not a record \x1b[31m\xff"
yesterday -        x            
! "{\"time\":\"2026-03-01T12:00:07.000000Z\",\"level\":\"info\",\"event\":\"torn\""
`)
}

func TestShowColour(t *testing.T) {
	t.Parallel()
	out := show(t, shown, ShowOptions{Colour: true})
	for _, want := range []string{"c1       \x1b[36mlogin.ok     \x1b[0m user", "\x1b[33mlogin.fail   \x1b[0m", "\x1b[31mhandler.panic\x1b[0m"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	plain := regexp.MustCompile("\x1b\\[\\d+m").ReplaceAllString(out, "")
	equal(t, "without the colours", plain, show(t, shown, ShowOptions{}))
}

func TestShowSinceAndUser(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)
	for _, c := range []struct {
		o    ShowOptions
		want string
	}{
		{ShowOptions{}, "server.start login.ok login.ok request session.close login.fail handler.panic ! x !"},
		{ShowOptions{Since: since}, "login.fail handler.panic ! x !"},
		{ShowOptions{User: "alice"}, "login.ok request session.close ! !"},
		{ShowOptions{User: "bob"}, "login.ok handler.panic ! !"},
		{ShowOptions{User: "bob", Since: since}, "handler.panic ! !"},
		{ShowOptions{User: "nobody"}, "! !"},
	} {
		got := regexp.MustCompile(`(?m)^(!|\S+ \S+ \S+|yesterday -) *(\w*\.?\w*).*$`).ReplaceAllString(show(t, shown, c.o), "$1 $2")
		var names []string
		for line := range strings.Lines(got) {
			words := strings.Fields(line)
			names = append(names, words[len(words)-1])
		}
		equal(t, "events", strings.Join(names, " "), c.want)
	}
}

func TestShowForgetsConnectionsOfAnEarlierRun(t *testing.T) {
	t.Parallel()
	log := `{"event":"login.ok","conn":"c1","user":"alice"}
{"event":"server.start"}
{"event":"conn.accept","conn":"c1"}
`
	equal(t, "lines", strings.Count(show(t, log, ShowOptions{User: "alice"}), "\n"), 1)
	equal(t, "control", strings.Count(show(t, strings.Replace(log, "server.start", "other", 1), ShowOptions{User: "alice"}), "\n"), 2)
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"alice": "alice", "müller": "müller", "日本": "日本", "a.b:c/d-e": "a.b:c/d-e",
		"": `""`, "a b": `"a b"`, "a=b": `"a=b"`, `a"b`: `"a\"b"`, `a\b`: `"a\\b"`,
		"\x1b[2J": `"\x1b[2J"`, "\u009b2J": `"\u009b2J"`, "\r": `"\r"`, "\xff": `"\xff"`,
		"a\u202eb": `"a\u202eb"`, "\u2066": `"\u2066"`, "\u200b": `"\u200b"`, "\u00ad": `"\u00ad"`, "\u00a0": `"\u00a0"`,
		"\u3164": `"\u3164"`, "\u115f": `"\u115f"`, "\u2800": `"\u2800"`, "a\ufe0f": `"a\ufe0f"`, "\u034f": `"\u034f"`,
		"\U000e0041": `"\U000e0041"`, "\u2028": `"\u2028"`, "\ufeff": `"\ufeff"`,
	} {
		equal(t, in, quote(in), want)
	}
}

func TestShowLimits(t *testing.T) {
	t.Parallel()
	long := io.MultiReader(strings.NewReader(strings.Repeat("x", MaxLine+1)), strings.NewReader("\n"))
	if err := Show(io.Discard, long, ShowOptions{}); !errors.Is(err, ErrTooLong) {
		t.Errorf("long line: %v", err)
	}
	closed := &faulty{err: io.ErrClosedPipe, Writer: io.Discard}
	if err := Show(closed, strings.NewReader(shown), ShowOptions{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("closed pipe: %v", err)
	}
}

// FuzzShow: each line becomes one line, without anything that acts on a terminal.
func FuzzShow(f *testing.F) {
	f.Add(shown)
	f.Add("{\"\u202e\":\"\u0085\",\"\":[\"\u200b\"]}\n{}\n[]\n\n{\"a\":1,\"a\":{}}\n")
	names, err := fixtures.Seeds("scram", 'C', fixtures.Symbols{"cnonce": "abc"})
	check(f, err)
	for _, name := range names {
		quoted, err := json.Marshal(name)
		check(f, err)
		f.Add(`{"event":"login.fail","user":` + string(quoted) + "}\n" + name + "\n")
	}
	f.Fuzz(func(t *testing.T, log string) {
		out := show(t, log, ShowOptions{})
		want := strings.Count(log, "\n")
		if log != "" && !strings.HasSuffix(log, "\n") {
			want++
		}
		equal(t, "lines", strings.Count(out, "\n"), want)
		for _, r := range out {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("%q in %q", r, out)
			}
		}
	})
}

func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		l, err := Open(path, Options{})
		check(t, err)
		defer l.Close()
		record(t, l, "a")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		log, err := Follow(ctx, path)
		check(t, err)
		defer log.Close()

		var out bytes.Buffer
		ended := make(chan error)
		go func() {
			_, err := io.Copy(&out, log)
			ended <- err
		}()
		expect := func(names ...string) {
			t.Helper()
			time.Sleep(time.Second) // synthetic
			synctest.Wait()
			equal(t, "events", events(t, out.String()), names)
		}
		expect("a")
		record(t, l, "b", "c")
		expect("a", "b", "c")
		check(t, os.Rename(path, path+".1"))
		record(t, l, "d")
		expect("a", "b", "c", "d")
		l.Info("e", "").Send()
		check(t, l.Reopen())
		record(t, l, "f")
		expect("a", "b", "c", "d", "e", "f")
		links(t, out.String()[:strings.Index(out.String(), `,"head"`)-len(`{"time":"2026-01-02T15:04:05.000000Z","level":"info","event":"f"`)], zeros)
		stop()
		check(t, <-ended)
	})
}

func TestFollowNeedsTheFile(t *testing.T) {
	t.Parallel()
	if _, err := Follow(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}
