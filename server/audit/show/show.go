// Package show prints an interaction log for people. Start with [Records], which prints a line for each
// record, or [Sessions], which prints a line for each session. Both escape all characters that a terminal
// would obey or not show.
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

// Events are the names of the events of a log, in the order of package audit's README.
var Events = []string{
	"server.start", "server.stop", "server.reload",
	"conn.accept", "conn.refuse", "conn.close", "tls.handshake", "tls.fail", "login.ok", "login.fail",
	"stat", "watch.open", "watch.close", "queue.enter", "queue.leave",
	"session.open", "request", "chat", "stream.open", "stream.close", "stream.data",
	"handler.panic", "handler.stuck", "session.close",
	"operator", "cert.expiry", "log.repair", "log.drop", "log.rotate", "log.space",
}

// Options choose what is shown. The zero Options show everything, in UTC and without colours.
type Options struct {
	// User chooses the records of this user, and of connections that are known to be those of the user. Empty
	// means all users.
	User string
	// Conns chooses the records of these connections. Empty means all.
	Conns []string
	// Events chooses these events. Empty means all.
	Events []string
	// Since leaves out older records. Zero means that none is left out.
	Since time.Time
	// Zone is the time zone of the output. Nil means UTC.
	Zone *time.Location
	// Colour marks warnings and errors with ANSI colours.
	Colour bool
}

// Records prints a line for each record of a log: time, connection, event, then key=value for the other
// fields in their order, without the chain and without fields that are empty or zero. It prints a line that
// is not a record behind a "!". The files are those of a rotated log, the oldest first. Records prints all
// that it has read before it waits for more of a file.
//
// The error is [audit.ErrNotLog] if a file is something else.
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
	// mine holds the open connections that are known to be those of the user.
	mine map[string]bool
	text []byte
}

// line formats a record. The result is empty if the options leave the record out. It is valid until the next
// call.
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

// wanted reports whether the options choose a record.
func (p *printer) wanted(r *record) bool {
	return p.ofUser(r) &&
		(r.at.IsZero() || !r.at.Before(p.Since)) &&
		(len(p.Conns) == 0 || slices.Contains(p.Conns, string(r.conn))) &&
		(len(p.Events) == 0 || slices.Contains(p.Events, string(r.event)))
}

// ofUser reports whether a record is one of the user, and keeps track of the connections of the user.
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

// column appends a text with spaces up to a width. A dash stands for no text.
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

// field appends a field, unless it is in a column, empty or zero.
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
			p.text = append(p.text, Duration(seconds)...)
			return
		}
	}
	p.text = appendText(p.text, f.text)
}

// durations are the names of the fields that hold seconds.
var durations = []string{"duration", "waited", "uptime"}
