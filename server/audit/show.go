package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// ShowOptions choose what Show prints; zero values choose everything, plain.
type ShowOptions struct {
	User     string         // only this user's records, and those of connections known to be theirs
	Since    time.Time      // nothing older
	Colour   bool           // ANSI colours
	Location *time.Location // of the times shown; nil: time.Local
}

// Show prints a log for people, each record one line and one write: local time,
// connection, event, and key=value for the other fields as they come, without
// the chain. What is invisible or steers a terminal is escaped. What is no
// record is always shown, behind a "!". A line over MaxLine is ErrTooLong.
func Show(w io.Writer, r io.Reader, o ShowOptions) error {
	o.Location = cmp.Or(o.Location, time.Local)
	mine := map[string]bool{}
	for line, err := range Lines(r) {
		if err != nil && err != ErrTorn {
			return err
		}
		if text := o.line(line, mine); text != "" {
			if _, err := io.WriteString(w, text+"\n"); err != nil {
				return err
			}
		}
	}
	return nil
}

// line formats one; mine are the open connections known to be the user's.
func (o ShowOptions) line(line []byte, mine map[string]bool) string {
	known, others := parse(line)
	if known == nil {
		return "! " + quote(string(bytes.TrimSuffix(line, []byte("\n"))))
	}
	conn, event := known["conn"], known["event"]
	wanted := o.User == "" || known["user"] == o.User || mine[conn]
	switch {
	case event == "server.start":
		clear(mine)
	case event == "session.close" || event == "conn.close":
		delete(mine, conn)
	case wanted && conn != "":
		mine[conn] = true
	}
	when, err := time.Parse(time.RFC3339, known["time"])
	if !wanted || err == nil && when.Before(o.Since) {
		return ""
	}
	local := quote(known["time"])
	if err == nil {
		local = when.In(o.Location).Format("2006-01-02 15:04:05.000")
	}
	event = fmt.Sprintf("%-13s", quote(event))
	if o.Colour {
		code := map[string]string{"warn": "33", "error": "31"}[known["level"]]
		event = "\x1b[" + cmp.Or(code, "36") + "m" + event + "\x1b[0m"
	}
	return fmt.Sprintf("%s %-8s %s%s", local, quote(cmp.Or(conn, "-")), event, others)
}

// parse gives the fields by name, and the text of those that line leaves to it.
func parse(line []byte) (known map[string]string, others []byte) {
	if line[0] != '{' || line[len(line)-1] != '\n' || !json.Valid(line) {
		return nil, nil
	}
	known = map[string]string{}
	d := json.NewDecoder(bytes.NewReader(line))
	_, _ = d.Token() // the brace
	for d.More() {
		key, _ := d.Token()
		name, _ := key.(string)
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil, nil
		}
		text := string(value)
		if value[0] == '"' {
			_ = json.Unmarshal(value, &text)
		}
		known[name] = text
		hidden := name == "time" || name == "conn" || name == "event" || name == "chain"
		if !hidden && (name != "level" || text != "info") {
			others = fmt.Appendf(others, " %s=%s", quote(name), quote(text))
		}
	}
	return known, others
}

// quote leaves s as it is, or quotes it as Go does where something in it could
// be taken for anything else, or for nothing.
func quote(s string) string {
	quoted := strconv.Quote(s)
	if strings.ContainsFunc(s, func(r rune) bool {
		return r == '\u2800' || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
	}) { // printable, says Unicode, but not seen
		quoted = strconv.QuoteToASCII(s)
	}
	if s != "" && quoted == `"`+s+`"` && !strings.ContainsAny(s, " =") {
		return s
	}
	return quoted
}

// Follow reads the log at path, then what is appended to it, also after a
// rotation, looking four times a second, until ctx is done: then Read gives
// io.EOF. For one goroutine.
func Follow(ctx context.Context, path string) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &follower{ctx, path, file}, nil
}

type follower struct {
	ctx  context.Context
	path string
	file *os.File
}

func (f *follower) Close() error { return f.file.Close() }

func (f *follower) Read(p []byte) (int, error) {
	for f.ctx.Err() == nil {
		there, missing := os.Stat(f.path) // before the read: a file is final once another has its path
		n, err := f.file.Read(p)
		if err != io.EOF {
			return n, err
		}
		here, _ := f.file.Stat()
		if missing == nil && !os.SameFile(here, there) {
			if next, err := os.Open(f.path); err == nil {
				_ = f.file.Close()
				f.file = next
				continue
			}
		}
		select {
		case <-f.ctx.Done():
		case <-time.After(time.Second / 4):
		}
	}
	return 0, io.EOF
}
