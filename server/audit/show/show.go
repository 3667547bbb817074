// Package show prints an interaction log for people: [Records] a line for each
// record, [Sessions] a line for each session. Nothing in a log can steer the
// terminal: what is invisible, or would act on it, is escaped.
package show

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/server/audit"
)

// Options choose what is shown. The zero Options show everything, in UTC and
// without colours.
type Options struct {
	// User limits it to the records of this user, and of connections known to be
	// the user's. Empty means everybody's.
	User string
	// Conns limits it to the records of these connections. Empty means all.
	Conns []string
	// Events limits it to these events. Empty means all.
	Events []string
	// Since leaves out what is older. Zero means nothing.
	Since time.Time
	// Zone is that of the times shown. Nil means UTC.
	Zone *time.Location
	// Colour marks warnings and errors with ANSI colours.
	Colour bool
}

// Records prints the log that is in files, the oldest first, a line for each
// record: time, connection, event, and key=value for the other fields as they
// come. It leaves out the chain and what is empty or zero. A line that is not a
// record is always printed, behind a "!". What was read is printed before
// Records waits for more.
//
// The error is [audit.ErrNotLog] where a file is something else.
func Records(w io.Writer, o Options, files ...audit.File) error {
	out := bufio.NewWriterSize(w, 64<<10)
	p := printer{Options: o.withZone(), mine: map[string]bool{}}
	for r, err := range records(files, out) {
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		if _, err = out.Write(p.line(r)); err != nil {
			return err
		}
	}
	return out.Flush()
}

func (o Options) withZone() Options {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	return o
}

// printer formats records.
type printer struct {
	Options
	mine map[string]bool // the open connections known to be the user's
	text []byte
}

// line formats a record, and is empty where it is not to be shown. It is valid
// until the next.
func (p *printer) line(r *record) []byte {
	p.text = p.text[:0]
	switch {
	case !r.valid:
		p.text = append(p.text, "! "...)
		p.text = appendText(p.text, bytes.TrimSuffix(r.line, []byte("\n")))
	case !p.wanted(r):
		return nil
	default:
		p.record(r)
	}
	p.text = append(p.text, '\n')
	return p.text
}

// wanted says whether the options choose a record.
func (p *printer) wanted(r *record) bool {
	return p.ofUser(r) &&
		(r.at.IsZero() || !r.at.Before(p.Since)) &&
		(len(p.Conns) == 0 || slices.Contains(p.Conns, string(r.conn))) &&
		(len(p.Events) == 0 || slices.Contains(p.Events, string(r.event)))
}

// ofUser says whether a record is the user's, and notes whose its connection is.
func (p *printer) ofUser(r *record) bool {
	if p.User == "" {
		return true
	}
	is := string(r.user) == p.User || p.mine[string(r.conn)]
	switch event := string(r.event); {
	case event == "server.start":
		clear(p.mine)
	case event == "session.close" || event == "conn.close":
		delete(p.mine, string(r.conn))
	case is && len(r.conn) > 0:
		p.mine[string(r.conn)] = true
	}
	return is
}

var colours = map[string]string{"warn": "\x1b[33m", "error": "\x1b[31m"}

// record appends a record: its columns, then the other fields.
func (p *printer) record(r *record) {
	colour := ""
	if p.Colour {
		colour = colours[string(r.level)]
	}
	p.text = append(p.text, colour...)
	if r.at.IsZero() {
		p.text = appendText(p.text, r.time)
	} else {
		p.text = appendTime(p.text, r.at, p.Zone)
	}
	p.column(r.conn, 8)
	p.column(r.event, len("session.close"))
	for _, f := range r.fields {
		p.field(f)
	}
	p.text = bytes.TrimRight(p.text, " ")
	if colour != "" {
		p.text = append(p.text, "\x1b[0m"...)
	}
}

// column appends a text, or - where there is none, and fills it up to a width.
func (p *printer) column(text []byte, width int) {
	p.text = append(p.text, ' ')
	start := len(p.text)
	if len(text) == 0 {
		p.text = append(p.text, '-')
	} else {
		p.text = appendText(p.text, text)
	}
	for len(p.text) < start+width {
		p.text = append(p.text, ' ')
	}
}

// field appends a field that is not a column, nor empty or zero.
func (p *printer) field(f field) {
	name := string(f.name)
	switch string(f.value) {
	case `""`, "0", "null", "{}", "[]":
		return
	}
	switch name {
	case "time", "conn", "event", "chain":
		return
	case "level":
		if string(f.text) == "info" {
			return
		}
	}
	p.text = append(p.text, ' ')
	p.text = append(appendText(p.text, f.name), '=')
	if slices.Contains(durations, name) {
		if seconds, err := strconv.ParseFloat(string(f.value), 64); err == nil {
			p.text = append(p.text, duration(seconds)...)
			return
		}
	}
	p.text = appendText(p.text, f.text)
}

// durations are the fields that are numbers of seconds.
var durations = []string{"duration", "waited", "uptime"}
