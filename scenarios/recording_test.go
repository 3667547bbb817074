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

// testTape begins a recording of a session of bert's. The function that it returns checks and returns the
// lines after the heading.
func testTape(t *testing.T, password string) (tape *Recording, script func() string) {
	t.Helper()
	var out strings.Builder
	tape = NewRecording(&out, "rig:7443", client.Credentials{Username: "bert", Password: password}, time.Now())
	tape.Login()
	return tape, func() string {
		t.Helper()
		if _, err := parse("x", "x.txtar", []byte(out.String())); err != nil {
			t.Errorf("the recording is no scenario: %v\n%s", err, &out)
		}
		heading, script, _ := strings.Cut(out.String(), "alice login\n")
		if strings.Contains(heading, "bert") || strings.Contains(heading, "Pa55") {
			t.Errorf("the heading has the name or the password:\n%s", heading)
		}
		return script
	}
}

func TestRecording(t *testing.T) {
	t.Parallel()
	type (
		request = protocol.Request
		reply   = protocol.Reply
	)
	for name, c := range map[string]struct {
		request request
		reply   reply
		want    string
	}{
		"a request":                       {request{Verb: "echo", Argument: "it's  42"}, reply{Code: 250, Text: "it's  42"}, "ask ECHO 'it''s  42'\nalice hears 250 '^it''s  42$'"},
		"the user":                        {request{Verb: "WHOAMI"}, reply{Code: 250, Text: "bert"}, "ask WHOAMI\nalice hears 250 ^$alice_user'$'"},
		"the password":                    {request{Verb: "ECHO", Argument: "it is Pa55 'word of bert"}, reply{Code: 250, Text: "it is Pa55 'word of bert."}, "ask ECHO 'it is '$alice_password' of '$alice_user\nalice hears 250 '^it is '$alice_password' of '$alice_user'\\.$'"},
		"the name of the variable":        {request{Verb: "ECHO", Argument: "a $alice_password"}, reply{Code: 250, Text: "a $alice_password"}, "ask ECHO 'a $alice_password'\nalice hears 250 '^a \\$alice_password$'"},
		"no result":                       {request{Verb: "NOOP"}, reply{Code: 250}, "ask NOOP\nalice hears 250 '^$'"},
		"several lines":                   {request{Verb: "STAT"}, reply{Code: 250, Text: "holder bert\nserved 12"}, "ask STAT\nalice hears 250 '^holder '$alice_user'\\nserved [-+]?[0-9][-+.0-9eE]*$'"},
		"a refusal":                       {request{Verb: "LOAD"}, reply{Code: 550, Text: "refused not at 12:30"}, "ask LOAD\nalice hears 550 '^refused( |$)'"},
		"the verbs":                       {request{Verb: "HELP"}, reply{Code: 250, Text: "ECHO\nHELP"}, "ask HELP\nalice hears 250"},
		"to the operator":                 {request{Verb: "SAY", Argument: "hi"}, reply{Code: 250, Text: "delivered"}, "ask SAY 'hi'\n? alice hears 250 '^delivered$'"},
		"no body":                         {request{Verb: "ECHO", Body: []byte{}}, reply{Code: 251, Body: []byte{}}, "ask-body '' ECHO\nalice hears 251 '^$'"},
		"a body of text":                  {request{Verb: "LOAD", Argument: "ch1", Body: []byte("one line")}, reply{Code: 251, Text: "6", Body: []byte("two\r\n7")}, "ask-body 'one line' LOAD 'ch1'\nalice hears 251 '^two\\x{d}\\n[-+]?[0-9][-+.0-9eE]*$'"},
		"a body of bytes":                 {request{Verb: "LOAD", Body: []byte("\xff\n")}, reply{Code: 251, Body: []byte("\x00\xff")}, "ask-body hex:ff0a LOAD\nalice hears 251"},
		"a body in the form of another":   {request{Verb: "ECHO", Body: []byte("x12")}, reply{Code: 251, Body: []byte("x12")}, "ask-body hex:783132 ECHO\nalice hears-body hex:783132"},
		"a body in the form of a capture": {request{Verb: "ECHO", Body: []byte("->")}, reply{Code: 251, Body: []byte("->")}, "ask-body hex:2d3e ECHO\nalice hears-body hex:2d3e"},
		"signs of the language":           {request{Verb: "ECHO", Argument: "&"}, reply{Code: 250, Text: "! & # -> x"}, "ask ECHO '&'\nalice hears 250 '^! & # -> x$'"},
		"the password in other letters":   {request{Verb: "GET"}, reply{Code: 250, Text: "PA55 'WORD"}, "ask GET\nalice hears 250"},
		"a refusal with the password":     {request{Verb: "GET"}, reply{Code: 550, Text: "Pa55 'word is no file"}, "ask GET\nalice hears 550"},
	} {
		tape, script := testTape(t, "Pa55 'word")
		tape.Exchange(c.request, c.reply, c.reply.Err())
		if diff := cmp.Diff("alice "+c.want+"\n", script()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// What others did, and the end, become comments without the password and the name.
func TestRecordingComments(t *testing.T) {
	t.Parallel()
	tape, script := testTape(t, "Pa55 'word")
	tape.Notice(client.Notice{Code: 150, Text: "use Pa55 'word\x1b"})
	tape.Notice(client.Notice{Code: 150, Text: "use pa55 'WORD"})
	tape.Exchange(protocol.Request{Verb: "X"}, protocol.Reply{}, errors.New("reset"))
	closing := protocol.Reply{Code: 421, Text: "idle bye"}
	tape.Exchange(protocol.Request{Verb: "X"}, closing, closing.Err())
	tape.Exchange(protocol.Request{Verb: "quit"}, protocol.Reply{Code: 221}, nil)
	noError(t, tape.End(errors.New("bert is gone")))
	if diff := cmp.Diff(`# 150 use $alice_password\x1b
# (left out: it has the password in it)
# a request had no reply
# a request had no reply
alice quit
# the session ended: $alice_user is gone
`, script()); diff != "" {
		t.Error(diff)
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
		"a stream can't be recorded":    {Verb: "open"},
		"a stream can't":                {Verb: "STREAM"},
		"the password is in it":         {Verb: "Echo", Argument: "Sesame"},
		"a body of 4097 bytes":          {Verb: "ECHO", Body: make([]byte, 4097)},
		"too long for a line":           {Verb: "ECHO", Argument: strings.Repeat("'", 8185)},
		"its body has the password":     {Verb: "ECHO", Body: []byte("echo sesame\n")},
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

// A pattern matches another reply of the same kind, and no reply of another kind.
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

// A recording of any session is a scenario.
func FuzzTape(f *testing.F) {
	f.Add("ECHO", "it's $HOME & #1", "250 'x' $1\n(", []byte("a\nb"), "it")
	f.Fuzz(func(t *testing.T, verb, argument, text string, body []byte, password string) {
		r := protocol.Request{Verb: verb, Argument: argument, Body: body}
		if !protocol.ValidVerb(strings.ToUpper(verb)) || strings.ContainsAny(argument+text, "\r\x00") || strings.Contains(argument, "\n") ||
			len(text) > 1<<18 || !utf8.ValidString(argument) || !utf8.ValidString(text) || !utf8.ValidString(password) { // no reply or request is like that
			t.Skip()
		}
		tape, script := testTape(t, password)
		if tape.Allows(r) != nil {
			t.Skip()
		}
		tape.Exchange(r, protocol.Reply{Code: 251, Text: text, Body: body}, nil)
		tape.Exchange(r, protocol.Reply{Code: 250, Text: text}, nil)
		tape.Notice(client.Notice{Code: 150, Text: text})
		_ = script()
	})
}
