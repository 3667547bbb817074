package scenarios

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

// taped is the recording of what a session of bert's does, without its heading.
func taped(t *testing.T, session func(*Recording)) string {
	t.Helper()
	var out strings.Builder
	tape := NewRecording(&out, "rig:7443", client.Credentials{Username: "bert", Password: "Pa55 'word"}, time.Now())
	tape.Login()
	session(tape)
	if err := tape.End(nil); err != nil {
		t.Error(err)
	}
	if _, err := parse("x", "x.txtar", []byte(out.String())); err != nil {
		t.Errorf("the recording is no scenario: %v\n%s", err, &out)
	}
	if strings.Contains(strings.ToLower(out.String()), "pa55") || strings.Contains(out.String(), "bert") {
		t.Errorf("the recording has the password or the name:\n%s", &out)
	}
	_, script, _ := strings.Cut(out.String(), "alice login\n")
	return script
}

func exchange(r protocol.Request, reply protocol.Reply) func(*Recording) {
	return func(t *Recording) { t.Exchange(r, reply, reply.Err()) }
}

func TestRecording(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		session func(*Recording)
		want    string
	}{
		"a request": {
			exchange(protocol.Request{Verb: "echo", Argument: "it's  42"}, protocol.Reply{Code: 250, Text: "it's  42"}),
			"alice ask ECHO 'it''s  42'\nalice hears 250 '^it''s  42$'\n",
		},
		"the user": {
			exchange(protocol.Request{Verb: "WHOAMI"}, protocol.Reply{Code: 250, Text: "bert"}),
			"alice ask WHOAMI\nalice hears 250 ^$alice_user'$'\n",
		},
		"the password": {
			exchange(protocol.Request{Verb: "ECHO", Argument: "it is Pa55 'word of bert"}, protocol.Reply{Code: 250, Text: "it is Pa55 'word of bert."}),
			"alice ask ECHO 'it is '$alice_password' of '$alice_user\nalice hears 250 '^it is '$alice_password' of '$alice_user'\\.$'\n",
		},
		"no result": {
			exchange(protocol.Request{Verb: "NOOP"}, protocol.Reply{Code: 250}),
			"alice ask NOOP\nalice hears 250 '^$'\n",
		},
		"several lines": {
			exchange(protocol.Request{Verb: "STAT"}, protocol.Reply{Code: 250, Text: "holder bert\nserved 12"}),
			"alice ask STAT\nalice hears 250 '^holder '$alice_user'\\nserved [-+]?[0-9][-+.0-9eE]*$'\n",
		},
		"a refusal": {
			exchange(protocol.Request{Verb: "LOAD"}, protocol.Reply{Code: 550, Text: "refused not at 12:30"}),
			"alice ask LOAD\nalice hears 550 '^refused( |$)'\n",
		},
		"the verbs": {
			exchange(protocol.Request{Verb: "HELP"}, protocol.Reply{Code: 250, Text: "ECHO\nHELP"}),
			"alice ask HELP\nalice hears 250\n",
		},
		"a word to the operator": {
			exchange(protocol.Request{Verb: "SAY", Argument: "hi"}, protocol.Reply{Code: 250, Text: "delivered"}),
			"alice ask SAY 'hi'\n? alice hears 250 '^delivered$'\n",
		},
		"a body of text": {
			exchange(protocol.Request{Verb: "LOAD", Argument: "ch1", Body: []byte("one line")}, protocol.Reply{Code: 251, Text: "6", Body: []byte("two\r\n7")}),
			"alice ask-body 'one line' LOAD 'ch1'\nalice hears 251 '^two\\x{d}\\n[-+]?[0-9][-+.0-9eE]*$'\n",
		},
		"a body that reads as another": {
			exchange(protocol.Request{Verb: "ECHO", Body: []byte("x12")}, protocol.Reply{Code: 251, Body: []byte("x12")}),
			"alice ask-body hex:783132 ECHO\nalice hears-body hex:783132\n",
		},
		"a body of octets": {
			exchange(protocol.Request{Verb: "LOAD", Body: []byte("\xff\n")}, protocol.Reply{Code: 251, Body: []byte("\x00\xff")}),
			"alice ask-body hex:ff0a LOAD\nalice hears 251\n",
		},
		"no body": {
			exchange(protocol.Request{Verb: "ECHO", Body: []byte{}}, protocol.Reply{Code: 251, Body: []byte{}}),
			"alice ask-body '' ECHO\nalice hears 251 '^$'\n",
		},
		"the password in other letters": {
			exchange(protocol.Request{Verb: "GET"}, protocol.Reply{Code: 250, Text: "PA55 'WORD"}),
			"alice ask GET\nalice hears 250\n",
		},
		"a refusal that repeats the password": {
			exchange(protocol.Request{Verb: "GET"}, protocol.Reply{Code: 550, Text: "Pa55 'word is no file"}),
			"alice ask GET\nalice hears 550\n",
		},
		"a refusal that begins with the password": {
			exchange(protocol.Request{Verb: "GET"}, protocol.Reply{Code: 550, Text: "Pa55 'word"}),
			"alice ask GET\nalice hears 550\n",
		},
		"a notice with the password in other letters": {
			func(t *Recording) { t.Notice(client.Notice{Code: 150, Text: "use pa55 'WORD"}) },
			"# (left out: it has the password in it)\n",
		},
		"a body that reads as a capture": {
			exchange(protocol.Request{Verb: "ECHO", Body: []byte("->")}, protocol.Reply{Code: 251, Body: []byte("->")}),
			"alice ask-body hex:2d3e ECHO\nalice hears-body hex:2d3e\n",
		},
		"what reads as something of the language": {
			exchange(protocol.Request{Verb: "ECHO", Argument: "&"}, protocol.Reply{Code: 250, Text: "! & # -> x"}),
			"alice ask ECHO '&'\nalice hears 250 '^! & # -> x$'\n",
		},
		"the end": {
			func(t *Recording) {
				t.Notice(client.Notice{Code: 150, Text: "use Pa55 'word\x1b"})
				t.Exchange(protocol.Request{Verb: "X"}, protocol.Reply{}, errors.New("reset"))
				closing := protocol.Reply{Code: 421, Text: "idle bye"}
				t.Exchange(protocol.Request{Verb: "X"}, closing, closing.Err())
				t.Exchange(protocol.Request{Verb: "quit"}, protocol.Reply{Code: 221}, nil)
				_ = t.End(errors.New("bert is gone"))
			},
			"# 150 use $alice_password\\x1b\n# a request had no reply\n# a request had no reply\nalice quit\n# the session ended: $alice_user is gone\n",
		},
	} {
		if diff := cmp.Diff(c.want, taped(t, c.session)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The user's name is a variable only where it is a word of its own.
func TestRecordingWords(t *testing.T) {
	t.Parallel()
	tape := &Recording{member: "alice", who: client.Credentials{Username: "bert", Password: "x1"}}
	for text, want := range map[string]string{
		"bert":                       "$alice_user",
		"bert, bert":                 "$alice_user', '$alice_user",
		"Robert berta _bert ü bertü": "'Robert berta _bert ü bertü'",
		"bertx1":                     "'bert'$alice_password",
		"x1x1":                       "$alice_password$alice_password",
		"":                           "''",
	} {
		if got := tape.words(text, quoteWord); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestRecordingRefuses(t *testing.T) {
	t.Parallel()
	tape := NewRecording(new(strings.Builder), "rig:7443", client.Credentials{Username: "alice", Password: "echo sesame"}, time.Now())
	for want, r := range map[string]protocol.Request{
		"the stream of OPEN":            {Verb: "open"},
		"the password is in it":         {Verb: "Echo", Argument: "Sesame"},
		"a body of 4097 bytes":          {Verb: "ECHO", Body: make([]byte, 4097)},
		"too long for a line":           {Verb: "ECHO", Argument: strings.Repeat("'", 8185)},
		"the body holds the password":   {Verb: "ECHO", Body: []byte("echo sesame\n")},
		"the password is in it, or not": {Verb: "ECHO", Argument: "fine"},
	} {
		err := tape.Allows(r)
		if good := r.Argument == "fine"; good != (err == nil) || !good && !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %s", r.Verb+" "+r.Argument, err, want)
		}
	}
	full := &Recording{size: maxFile}
	if err := full.Allows(protocol.Request{Verb: "ECHO"}); err == nil {
		t.Error("a full recording takes more")
	}
}

// A pattern matches another reply of the same kind, and none of another.
func TestSymbolic(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, asked, other, wrong string }{
		{"2026-11-22T23:49:49.123Z", "", "2027-01-01T00:00:00+01:00", "yesterday"},
		{"since 2026-11-22, 7:30", "", "since 2027-01-01, 12:45:01", "since 7:30"},
		{"up 1h2m3.5s", "", "up 900µs", "up for long"},
		{"-3.30V, +1e-9 A", "", "12V, -4 A", "12V, -4 B"},
		{"DMM6500 serial 04089762", "", "DMM6500 serial 7", "DMM6501 serial 04089762"},
		{"ECHO 42", "42", "ECHO 42", "ECHO 43"},
		{"nonce rOprNGfwEbeRWgbNEkqO+9", "", "nonce 3rfcNHYJY1ZVvWVs7j4f==", "nonce (none)"},
		{"6ba7b810-9dad-11d1-80b4-00c04fd430c8", "", "00000000-9dad-11d1-80b4-00c04fd430c8", "x"},
		{"head deadbeef00deadbeef00", "", "head 0123456789abcdef", "head none"},
		{"a(b)*\u202e\n$", "", "a(b)*\u202e\n$", "ab"},
		{"0x1f", "", "0xABC", "1f"},
	} {
		pattern := "^" + symbolic(c.text, c.asked) + "$"
		re, err := regexp.Compile(pattern)
		switch {
		case err != nil:
			t.Errorf("%q: %v", c.text, err)
		case !re.MatchString(c.text) || !re.MatchString(c.other) || re.MatchString(c.wrong):
			t.Errorf("%q became %s, which matches it %t, another %t, a wrong one %t; want true true false", c.text, pattern,
				re.MatchString(c.text), re.MatchString(c.other), re.MatchString(c.wrong))
		}
	}
}

// Whatever is said, the recording is a scenario, without the password.
func FuzzTape(f *testing.F) {
	f.Add("ECHO", "it's $HOME & #1", "250 'x' $1\n(", []byte("a\nb"), "it")
	f.Fuzz(func(t *testing.T, verb, argument, text string, body []byte, password string) {
		r := protocol.Request{Verb: verb, Argument: argument, Body: body}
		if !protocol.ValidVerb(strings.ToUpper(verb)) || strings.ContainsAny(argument+text, "\r\x00") || strings.Contains(argument, "\n") ||
			len(text) > 1<<18 || !utf8.ValidString(argument) || !utf8.ValidString(text) || !utf8.ValidString(password) { // no reply or request is like that
			t.Skip()
		}
		var out strings.Builder
		tape := NewRecording(&out, "rig:7443", client.Credentials{Username: "bert", Password: password}, time.Now())
		tape.Login()
		if tape.Allows(r) != nil {
			t.Skip()
		}
		tape.Exchange(r, protocol.Reply{Code: 251, Text: text, Body: body}, nil)
		tape.Exchange(r, protocol.Reply{Code: 250, Text: text}, nil)
		tape.Notice(client.Notice{Code: 150, Text: text})
		if _, err := parse("x", "x.txtar", []byte(out.String())); err != nil {
			t.Errorf("%v\n%s", err, &out)
		}
	})
}
