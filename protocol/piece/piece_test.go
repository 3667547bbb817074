package piece

import (
	"errors"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/protocol"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]Message{
		"DATA 0":              {Verb: "DATA"},
		"DATA 65536":          {Verb: "DATA", Size: 65536},
		"data 7":              {Verb: "DATA", Size: 7},
		"ABORT":               {Verb: "ABORT"},
		"Ping":                {Verb: "PING"},
		"PING active":         {Verb: "PING", Active: true},
		"BREAK":               {Verb: "BREAK"},
		"LINE 9600,7E1":       {Verb: "LINE", Speed: 9600, Form: "7E1"},
		"LINE 99999999,5m1.5": {Verb: "LINE", Speed: 99999999, Form: "5M1.5"},
		"WINDOW 80 24":        {Verb: "WINDOW", Columns: 80, Rows: 24},
		"WINDOW 65535 1":      {Verb: "WINDOW", Columns: 65535, Rows: 1},
		// What has no place in a stream.
		"":                        {},
		"QUIT":                    {},
		"BODY 9 ECHO":             {},
		"BODY 6 DATA":             {},
		"ABORT now":               {},
		"ABORT ":                  {},
		"BREAK 250":               {},
		"PING ":                   {},
		"PING PASSIVE":            {},
		"DATA\t7":                 {},
		strings.Repeat("D", 8190): {},
	} {
		if got, err := Parse([]byte(line)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
}

func TestParseMalformed(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"DATA", "DATA ", "DATA 65537", "DATA 99999999999999999999", "DATA 07", "DATA +7", "DATA -7", "DATA 7 ",
		"DATA  7", "DATA 7 ECHO", "DATA 0x7",
		"LINE", "LINE 9600", "LINE 9600,", "LINE 9600,7", "LINE 9600,7E", "LINE 9600,7E3", "LINE 9600,9N1",
		"LINE 9600,8X1", "LINE 0,8N1", "LINE 09600,8N1", "LINE 100000000,8N1", "LINE 9600 8N1", "LINE 9600,8N1,rtscts",
		"WINDOW", "WINDOW 80", "WINDOW 80 ", "WINDOW 0 24", "WINDOW 80 0", "WINDOW 65536 24", "WINDOW 80 65536",
		"WINDOW 80 24 1", "WINDOW 80x24",
	} {
		verb, _, _ := strings.Cut(line, " ")
		if m, err := Parse([]byte(line)); !errors.Is(err, protocol.ErrArgument) || m.Verb != verb {
			t.Errorf("%q: %+v, %v", line, m, err)
		}
	}
}

func TestServerLines(t *testing.T) {
	t.Parallel()
	lines := string(AppendTaken(AppendHeader(nil, 65536), 1<<40)) + Closed(6, 13)
	if want := "151 65536\r\n153 1099511627776\r\nclosed 6 13"; lines != want {
		t.Errorf("%q", lines)
	}
	if in, out, err := ParseClosed("closed 6 13"); in != 6 || out != 13 || err != nil {
		t.Error(in, out, err)
	}
	for _, text := range []string{"", "closed", "closed 6", "closed 6 13 1", "closed 06 13", "closed -6 13", "6 13"} {
		if _, _, err := ParseClosed(text); !errors.Is(err, protocol.ErrReply) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "65537", "-1", "01", "1 "} {
		if _, err := ParseHeader(text); !errors.Is(err, protocol.ErrReply) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if n, err := ParseTaken("x"); n != 0 || !errors.Is(err, protocol.ErrReply) {
		t.Error(n, err)
	}
}

// FuzzParse: whatever Parse accepts is within its bounds, and is the same after Append.
func FuzzParse(f *testing.F) {
	for _, line := range []string{"DATA 65536", "PING ACTIVE", "ABORT", "BREAK", "LINE 9600,7E1", "WINDOW 80 24", "QUIT"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := Parse(line)
		if err != nil || m.Verb == "" {
			return
		}
		if m.Size < 0 || m.Size > Max || m.Speed < 0 || m.Speed > maxSpeed || max(m.Columns, m.Rows) > 65535 {
			t.Errorf("%q is beyond its bounds: %+v", line, m)
		}
		again := m.Append(nil)
		if same, err := Parse(again[:len(again)-2]); err != nil || same != m {
			t.Errorf("%q became %q: %+v, %v", line, again, same, err)
		}
	})
}

// FuzzServerLines: whatever a client accepts of a server is within its bounds.
func FuzzServerLines(f *testing.F) {
	f.Add("65536")
	f.Add("closed 6 13")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ParseHeader(text); err == nil && (n < 0 || n > Max || string(AppendHeader(nil, n)) != "151 "+text+"\r\n") {
			t.Errorf("%q is the size %d", text, n)
		}
		if n, err := ParseTaken(text); err == nil && n < 0 {
			t.Errorf("%q is %d", text, n)
		}
		if in, out, err := ParseClosed(text); err == nil && (in < 0 || out < 0) {
			t.Errorf("%q is %d and %d", text, in, out)
		}
	})
}
