package tty

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

var names = map[Action]string{
	Send: "send", Menu: "menu", Quit: "quit", Break: "break", AskLine: "ask", Echo: "echo", SetLine: "set", Who: "who",
	Help: "help", Back: "back",
}

// written returns events in a short form: "send:ls\r menu quit".
func written(events []Event) string {
	var words []string
	for _, e := range events {
		word := names[e.Action]
		if e.Text != nil {
			word += ":" + strings.Trim(fmt.Sprintf("%q", e.Text), `"`)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestEscape(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"":                             "",
		"\x00\x03\x04\x1a\x1b[A\r\x7f": `send:\x00\x03\x04\x1a\x1b[A\r\x7f`,
		"\xff\xc3\x9d\x9d":             `send:\xffÝ\x9d`,
		"ls\r\x1dq":                    `send:ls\r menu quit`,
		"\x1d":                         "menu",
		"\x1d\x1d":                     `menu send:\x1d`,
		"\x1d\x1d\x1d\x1dx":            `menu send:\x1d menu send:\x1d send:x`,
		"\x1dB\x1dw\x1d?a":             "menu break menu who menu help send:a",
		"\x1d\rq":                      "menu back send:q",
		"\x1d\x03q":                    "menu back send:q",
		"\x1dxq":                       "menu help send:q",
		// A key of several bytes is one key.
		"\x1d\x1b[1;5Aq": "menu back send:q",
		"\x1d\x1bOPq":    "menu back send:q",
		"\x1d\x1b[":      "menu back",
		"\x1d\x1bq":      "menu back send:q",
		"\x1déq":         "menu help send:q",
		// The speed of a serial line.
		"\x1dl9600\rls":             `menu ask echo:9 echo:6 echo:0 echo:0 set:9600 send:ls`,
		"\x1dl97\x7f6\b\x7f\x7f1\r": `menu ask echo:9 echo:7 echo:\b \b echo:6 echo:\b \b echo:\b \b echo:1 set:1`,
		"\x1dl12\x152\r":            `menu ask echo:1 echo:2 echo:\b \b\b \b echo:2 set:2`,
		"\x1dl\rq":                  "menu ask back send:q",
		"\x1dl9\x1dq":               "menu ask echo:9 back send:q",
		"\x1dl9\x1b[Aq":             "menu ask echo:9 back send:q",
		"\x1dl9\x03\x1dl8\r":        "menu ask echo:9 back menu ask echo:8 set:8",
		"\x1dl \t\x00é1\r":          "menu ask echo:1 set:1",
	} {
		var whole, single Escape
		if got := written(whole.Type([]byte(typed))); got != want {
			t.Errorf("%q: %s, not %s", typed, got, want)
		}
		if strings.Contains(typed, "\x1b") || !utf8.ValidString(typed) || strings.Contains(typed, "é") {
			continue
		}
		var words []string
		for i := range len(typed) {
			words = append(words, written(single.Type([]byte(typed[i:i+1]))))
		}
		if got := strings.Join(words, " "); joined(got) != joined(want) {
			t.Errorf("%q key by key: %s, not %s", typed, got, want)
		}
	}
}

// joined joins what is sent in pieces.
func joined(events string) string {
	var out strings.Builder
	for word := range strings.FieldsSeq(strings.ReplaceAll(events, " \\b", "\\b")) {
		text, isSend := strings.CutPrefix(word, "send:")
		if !isSend {
			text = " " + word + " "
		}
		out.WriteString(text)
	}
	return out.String()
}

func TestLongAnswer(t *testing.T) {
	t.Parallel()
	var e Escape
	events := e.Type([]byte("\x1dl" + strings.Repeat("9", 1000) + "\r"))
	if last := events[len(events)-1]; last.Action != SetLine || len(last.Text) != maxLine {
		t.Errorf("%q", last.Text)
	}
}
