package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/control"
)

// labelWidth is the width of the first column of a page.
const labelWidth = 13

// terminalWidth returns the width of a page on standard output.
func terminalWidth() int {
	if width, _, err := term.GetSize(int(stdout.file.Fd())); err == nil && width > 0 {
		return max(width, minWidth)
	}
	return pipeWidth
}

// page is a text in two columns.
type page struct {
	width int
	out   strings.Builder
}

// row adds a label and its text. It breaks lines between the pieces only.
func (p *page) row(label string, pieces ...string) {
	pieces = slices.DeleteFunc(pieces, func(s string) bool { return s == "" })
	line := fmt.Sprintf("%-*s", labelWidth, label)
	for i, piece := range pieces {
		if i < len(pieces)-1 {
			piece += ","
		}
		switch used := utf8.RuneCountInString(line); {
		case i == 0:
			line += piece
		case used+1+utf8.RuneCountInString(piece) > p.width:
			p.out.WriteString(line + "\n")
			line = strings.Repeat(" ", labelWidth) + piece
		default:
			line += " " + piece
		}
	}
	p.out.WriteString(strings.TrimRight(line, " ") + "\n")
}

// printable returns texts with the characters that a terminal would act on replaced.
func printable(texts []string) (all []string) {
	for _, text := range texts {
		all = append(all, show.Printable(text))
	}
	return all
}

// statusPage returns the page of status.
func statusPage(s control.Status, now time.Time, width int) string {
	p := &page{width: width}
	p.seat(s, now)
	p.queue(s.Waiting, s.Fleet)
	if s.Watching > 0 {
		p.row("watching", fmt.Sprint(s.Watching))
	}
	p.row("lobby", count(s.Lobby, "connection")+" before their login", atMost(s.Limits.Lobby))
	p.row("kept out", keptOut(s)...)
	p.backend(s.Backend)
	p.fleet(s, now)
	p.log(s.Log)
	p.row("certificate", append(printable(s.Certificate.Names), lifetime(s.Certificate.Ends, now))...)
	p.row("limits", limits(s)...)
	p.row("server", show.Printable(s.Listen), fmt.Sprintf("process %d", s.PID), "up "+seconds(s.Uptime), count(s.Served, "session")+" so far")
	p.row("state", show.Printable(s.State))
	p.row("version", show.Printable(s.Version))
	return p.out.String()
}

func (p *page) seat(s control.Status, now time.Time) {
	ending := ""
	if s.Stopping {
		ending = "the server is shutting down"
	}
	h := s.Holder
	if f := s.Elsewhere(); f != nil {
		p.row("seat", "taken by "+show.Printable(f.Holder), "at "+show.Printable(f.Gate()), "since "+clock(f.HolderSince, now),
			"for "+seconds(now.Sub(f.HolderSince).Seconds()), ending)
		return
	}
	if h == nil {
		p.row("seat", "free", ending)
		return
	}
	runs := "nothing runs"
	if h.Running != "" {
		runs = show.Printable(h.Running) + " runs"
	}
	p.row("seat", "taken by "+show.Printable(h.User), "from "+show.Printable(h.Remote), "since "+clock(h.Since, now), "for "+seconds(h.Seconds), ending)
	p.row("", runs, "idle for "+seconds(h.Idle), count(h.Requests, "request"), "connection "+show.Printable(h.Conn))
}

// queue adds a table of the waiting clients, and how many wait at other gates that share the seat.
func (p *page) queue(all []control.Person, fleet *control.Fleet) {
	elsewhere := ""
	if fleet != nil && fleet.QueueLength > len(all) {
		elsewhere = count(fleet.QueueLength-len(all), "client") + " at other gates"
	}
	if len(all) == 0 {
		p.row("waiting", cmp.Or(elsewhere, "none"))
		return
	}
	user, remote := 0, 0
	for _, c := range all {
		user = max(user, utf8.RuneCountInString(show.Printable(c.User)))
		remote = max(remote, utf8.RuneCountInString(show.Printable(c.Remote)))
	}
	for i, c := range all {
		label := ""
		if i == 0 {
			label = "waiting"
		}
		p.row(label, fmt.Sprintf("%2d  %-*s  from %-*s  for %s  %s", i+1, min(user, 24), show.Printable(c.User),
			min(remote, 47), show.Printable(c.Remote), seconds(c.Seconds), show.Printable(c.Conn)))
	}
	if elsewhere != "" {
		p.row("", elsewhere)
	}
}

func (p *page) backend(b *control.Backend) {
	switch {
	case b == nil:
		p.row("backend", "none")
	case b.Down != "":
		p.row("backend", show.Printable(b.Spec), "DOWN: "+show.Printable(b.Down))
	case b.Kept:
		p.row("backend", show.Printable(b.Spec), "kept open")
	default:
		p.row("backend", show.Printable(b.Spec), "opened for each session")
	}
}

func (p *page) fleet(s control.Status, now time.Time) {
	f := s.Fleet
	if f == nil {
		return
	}
	state := "in the directory"
	if !f.Up {
		state = "NOT IN THE DIRECTORY since " + clock(f.Since, now) + ": " + show.Printable(f.Error)
	}
	p.row("rig", show.Printable(f.Rig), state)
	if f.NoLease != "" {
		key := show.Printable(f.NoLease)
		p.row("", "WARNING: a place in the queue has no lease", "so it stays until somebody deletes it: etcdctl del "+key)
	}
}

func (p *page) log(l control.Log) {
	free, state := "", ""
	if l.Free >= 0 {
		free = size(l.Free) + " free on its disk"
	}
	switch {
	case l.Stuck > 0:
		state = "STUCK: its disk has not answered for " + seconds(l.Stuck)
	case l.Failing:
		state = "FAILING: its last record could not be written"
	}
	p.row("log", show.Printable(l.Path), size(l.Size), free, state)
	p.row("log head", l.Head)
}

// keptOut returns how many sources and connections are refused.
func keptOut(s control.Status) []string {
	if s.Penalised == 0 && len(s.Refused) == 0 {
		return []string{"none"}
	}
	pieces := []string{count(s.Penalised, "source") + " by a penalty now"}
	for reason, n := range s.Refused {
		pieces = append(pieces, fmt.Sprintf("%s so far (%s)", count(n, "connection"), show.Printable(reason)))
	}
	slices.Sort(pieces[1:])
	return pieces
}

func limits(s control.Status) []string {
	l := s.Limits
	pieces := []string{"idle " + limit(l.Idle), "session " + limit(l.Session), "request " + limit(l.Request)}
	switch s.Admission {
	case "queue":
		pieces = append(pieces, fmt.Sprintf("queue %d (%d a user) for %s", l.QueueDepth, l.QueuePerUser, limit(l.QueueWait)))
	default:
		pieces = append(pieces, "admission "+show.Printable(s.Admission))
	}
	return append(pieces, "body "+size(l.Body))
}

func limit(s float64) string {
	if s == 0 {
		return "without limit"
	}
	return seconds(s)
}

func atMost(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("at most %d", n)
}

// seconds formats a duration without more precision than people need.
func seconds(s float64) string {
	if s < 1 {
		return "0 s"
	}
	return show.Duration(math.Trunc(s))
}

// clock formats a time, without the date if it is today.
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// size formats a number of bytes.
func size(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return count(int(n), "byte")
	}
	x, i := float64(n)/(1<<10), 0
	for ; x >= 1023.5 && i < len(units)-1; i++ {
		x /= 1 << 10
	}
	return fmt.Sprintf("%.3g %ciB", x, units[i])
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// page returns the page of a server on another machine.
func (s remoteStatus) page(now time.Time) string {
	p := &page{width: terminalWidth()}
	if h := s.Holder; h != nil {
		p.row("seat", "taken by "+show.Printable(h.User), "since "+clock(h.Since, now), "idle for "+seconds(h.Idle))
	} else {
		p.row("seat", "free")
	}
	p.row("waiting", fmt.Sprint(s.QueueLength))
	p.row("server", "up "+seconds(s.Uptime), count(s.Served, "session")+" so far")
	return p.out.String()
}
