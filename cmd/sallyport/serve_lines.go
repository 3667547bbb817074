package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/sallyport/sallyport/server/audit/show"
)

// maxPeople bounds the connections whose address linesPart keeps.
const maxPeople = 4096

// linesPart prints a line when a client gets the seat, waits, or leaves. It reads the records of the interaction log.
type linesPart struct {
	quiet bool
	flags *pflag.FlagSet

	mu     sync.Mutex
	out    io.Writer         // nil: nothing is printed
	remote map[string]string // the addresses of connections
	user   map[string]string // the users of connections after the login
}

func (p *linesPart) define(flags *pflag.FlagSet) {
	p.flags = flags
	flags.BoolVar(&p.quiet, "quiet", false, "print no line when a client gets the seat, waits or leaves; =false prints them also where standard error is no terminal")
}

func (*linesPart) check() error { return nil }

// start prints from now on, if that is wanted.
func (p *linesPart) start(r *running) (stop func(), err error) {
	if p.quiet || !p.flags.Changed("quiet") && !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out, p.remote, p.user = r.stderr, map[string]string{}, map[string]string{}
	return nil, nil
}

// event is what linesPart reads of a record.
type event struct {
	Event, Conn, User, Remote, Reason, By string
	Position, Requests                    int
	Waited, Duration                      float64
}

// haveLines are the events that line needs. The others, of which there are many, are not decoded.
var haveLines = map[string]bool{
	"conn.accept": true, "conn.close": true, "login.ok": true, "queue.enter": true, "queue.leave": true,
	"session.open": true, "session.close": true,
}

// eventOf returns the event of a record. No text of a peer comes before it in the line.
func eventOf(line []byte) string {
	_, rest, _ := bytes.Cut(line, []byte(`"event":"`))
	name, _, _ := bytes.Cut(rest, []byte{'"'})
	return string(name)
}

// observe prints the line of a record, if it has one. The writer does not block.
func (p *linesPart) observe(line []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil || !haveLines[eventOf(line)] {
		return
	}
	var e event
	if json.Unmarshal(line, &e) != nil {
		return
	}
	if text := p.line(e); text != "" {
		fmt.Fprintf(p.out, "%s %s\n", time.Now().Format(time.TimeOnly), text)
	}
}

// line returns the line of an event, or "".
func (p *linesPart) line(e event) (text string) {
	user := p.user[e.Conn]
	switch e.Event {
	case "conn.accept":
		if len(p.remote) < maxPeople {
			p.remote[e.Conn] = e.Remote
		}
	case "login.ok":
		p.user[e.Conn] = e.User
	case "queue.enter":
		return waits(user, p.remote[e.Conn], e.Position)
	case "session.open":
		return sitsDown(e.User, p.remote[e.Conn])
	case "queue.leave":
		if e.Reason != "granted" {
			return givesUp(user, e.Reason)
		}
	case "session.close":
		text = getsUp(user, fmt.Sprintf("%s%s, after %s, %s", e.Reason, by(e.By), seconds(e.Duration), count(e.Requests, "request")))
		fallthrough
	case "conn.close":
		delete(p.user, e.Conn)
		delete(p.remote, e.Conn)
	}
	return text
}

// The lines of serve and of status --watch. why may be empty.
func sitsDown(user, remote string) string {
	return fmt.Sprintf("%s sits down (from %s)", show.Printable(user), show.Printable(remote))
}

func waits(user, remote string, position int) string {
	return fmt.Sprintf("%s waits (from %s, position %d)", show.Printable(user), show.Printable(remote), position)
}

func givesUp(user, why string) string {
	return show.Printable(user) + " waits no more" + inBrackets(why)
}

func getsUp(user, why string) string { return show.Printable(user) + " leaves" + inBrackets(why) }

func inBrackets(why string) string {
	if why == "" {
		return ""
	}
	return " (" + show.Printable(why) + ")"
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}
