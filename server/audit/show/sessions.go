package show

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/server/audit"
)

// Sessions prints a line for each session of a log: when it began, its connection, the user, the address, how
// long it lasted, how many requests it made, and how it ended. Sessions that are still open come last. The
// files are those of a rotated log, the oldest first. Sessions uses the options User, Zone and Since, which
// leaves out sessions that ended earlier.
//
// The error is [audit.ErrNotLog] if a file is something else.
func Sessions(w io.Writer, o Options, files ...audit.File) error {
	out := bufio.NewWriter(w)
	s := sessions{Options: o.withZone(), out: out, from: map[string]string{}, open: map[string]*session{}, userWidth: 12, fromWidth: 21}
	for r, err := range records(files, out) {
		if err != nil {
			s.printRows()
			return errors.Join(err, out.Flush())
		}
		s.add(r)
	}
	s.rest("still open")
	s.printRows()
	return out.Flush()
}

// sessions follows the connections of a log.
type sessions struct {
	Options
	out  io.Writer
	from map[string]string   // the remote address of each open connection
	open map[string]*session // the open sessions by connection
	now  time.Time           // the time of the last record
	rows []row               // not printed yet

	userWidth, fromWidth int // of the columns, in characters
}

// maxRows is how many lines are printed at once, with columns as wide as the longest name and address among them and
// the lines before.
const maxRows = 1000

// row has the printed fields of a session. The fields before user and after from have fixed widths.
type row struct{ first, user, from, last string }

// session is a session that has not ended.
type session struct {
	conn, user string
	began      time.Time
	requests   int
}

// add takes the next record.
func (s *sessions) add(r *record) {
	conn, event := string(r.conn), string(r.event)
	if event == "server.start" {
		s.rest("the server died")
		clear(s.from)
	}
	if !r.at.IsZero() {
		s.now = r.at
	}
	switch event {
	case "conn.accept":
		s.from[conn] = r.get("remote")
	case "conn.close":
		delete(s.from, conn)
	case "session.open":
		s.open[conn] = &session{conn: conn, user: string(r.user), began: r.at}
	case "request":
		if x := s.open[conn]; x != nil {
			x.requests++
		}
	case "session.close":
		s.close(r)
	}
}

// close prints the session that a record ends.
func (s *sessions) close(r *record) {
	conn := string(r.conn)
	lasted, _ := strconv.ParseFloat(r.get("duration"), 64)
	x := s.open[conn]
	if x == nil { // its session.open is in a file that was not given
		x = &session{conn: conn, began: r.at.Add(-time.Duration(lasted * float64(time.Second)))}
	}
	x.requests, _ = strconv.Atoi(r.get("requests"))
	how := quote(r.get("reason"))
	if by := r.get("by"); by != "" {
		how += " by " + quote(by)
	}
	s.print(x, lasted, how)
	delete(s.open, conn)
	delete(s.from, conn)
}

// rest prints the sessions that are still open, in the order in which they began, and forgets them.
func (s *sessions) rest(how string) {
	for _, x := range slices.SortedFunc(maps.Values(s.open), func(a, b *session) int { return a.began.Compare(b.began) }) {
		s.print(x, s.now.Sub(x.began).Seconds(), how)
	}
	clear(s.open)
}

func (s *sessions) print(x *session, lasted float64, how string) {
	if s.User != "" && x.user != s.User || s.now.Before(s.Since) {
		return
	}
	requests := "requests"
	if x.requests == 1 {
		requests = "request"
	}
	r := row{
		first: fmt.Sprintf("%s %-12s", appendTime(nil, x.began, s.Zone), quote(x.conn)),
		user:  quote(cmp.Or(x.user, "-")), from: quote(cmp.Or(s.from[x.conn], "-")),
		last: fmt.Sprintf("%12s %7d %-8s  %s", Duration(lasted), x.requests, requests, how),
	}
	s.userWidth = max(s.userWidth, utf8.RuneCountInString(r.user))
	s.fromWidth = max(s.fromWidth, utf8.RuneCountInString(r.from))
	if s.rows = append(s.rows, r); len(s.rows) == maxRows {
		s.printRows()
	}
}

func (s *sessions) printRows() {
	for _, r := range s.rows {
		fmt.Fprintf(s.out, "%s %-*s from %-*s %s\n", r.first, s.userWidth, r.user, s.fromWidth, r.from, r.last)
	}
	s.rows = s.rows[:0]
}
