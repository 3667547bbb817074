package harness

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Events are all events of the interaction log, each with its own fields in their order: they stand behind
// time, level, event and, about a connection, conn, and before chain.
var Events = map[string]string{
	"server.start":  "listen admission",
	"server.stop":   "uptime",
	"server.reload": "ok",
	"conn.accept":   "remote",
	"conn.refuse":   "remote reason count",
	"conn.close":    "reason",
	"tls.handshake": "version cipher curve resumed alpn",
	"tls.fail":      "error",
	"login.ok":      "user mechanism binding",
	"login.fail":    "user mechanism reason",
	"stat":          "user",
	"watch.open":    "user",
	"watch.close":   "bytes_out",
	"queue.enter":   "position",
	"queue.leave":   "reason waited",
	"session.open":  "user waited",
	"request":       "n verb argument_bytes body_bytes code keyword reply_bytes duration",
	"chat":          "direction bytes",
	"stream.open":   "",
	"stream.close":  "bytes_in bytes_out",
	"stream.data":   "direction data",
	"handler.panic": "user verb n",
	"handler.stuck": "user verb n",
	"session.close": "reason requests bytes_in bytes_out duration",
	"operator":      "deed by",
	"log.repair":    "octets data",
	"log.drop":      "records",
	"log.rotate":    "why size",
	"log.space":     "free",
	"cert.expiry":   "days",
}

// payload are the fields that a request has in addition with --log-payload.
const payload = " argument body"

// levels are those of the events whose level is not info.
var levels = map[string]string{
	"conn.refuse": "warn", "tls.fail": "warn", "login.fail": "warn", "log.repair": "warn", "log.drop": "warn", "log.space": "warn", "cert.expiry": "warn",
	"handler.panic": "error", "handler.stuck": "error", "log.rotate": "error",
}

// leaves matches the errors of a tls.fail that may have the level info: the peer has left.
var leaves = regexp.MustCompile(`^EOF$|reset`)

// inSession are the events of an open session.
const inSession = "request chat stream.open stream.data stream.close handler.panic handler.stuck session.close"

// next are the events that may follow one of the same connection. The key "" stands for the beginning.
var next = map[string]string{
	"":              "conn.accept",
	"conn.accept":   "tls.handshake tls.fail conn.close",
	"tls.fail":      "conn.close",
	"tls.handshake": "login.ok login.fail conn.close",
	"login.fail":    "login.ok login.fail conn.close",
	"login.ok":      "stat watch.open queue.enter session.open conn.close",
	"stat":          "conn.close",
	"watch.open":    "watch.close",
	"watch.close":   "conn.close",
	"queue.enter":   "queue.leave",
	"queue.leave":   "session.open conn.close",
	"conn.close":    "",
	"session.open":  inSession,
	"request":       inSession,
	"chat":          inSession,
	"handler.panic": inSession,
	"handler.stuck": inSession,
	"stream.open":   "chat stream.data handler.stuck stream.close",
	"stream.data":   "chat stream.data handler.stuck stream.close",
	"stream.close":  inSession,
	"session.close": "",
}

// field is one field of a line. Its value is a string, an int64, a float64 or a bool.
type field struct {
	name  string
	value any
}

// line is a line of the log, with its fields in their order.
type line []field

// parseLine reads a line: a flat JSON object in which no name stands twice, with nothing behind it.
func parseLine(text string) (l line, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, fmt.Errorf("no object: %.100q", text)
	}
	for d.More() {
		name, _ := d.Token()
		value, err := d.Token()
		if _, nested := value.(json.Delim); nested || err != nil || l.get(name.(string)) != nil {
			return nil, fmt.Errorf("%q is no scalar, or there twice: %.100q", name, text)
		}
		l = append(l, field{name.(string), scalar(value)})
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than an object: %.100q", text)
	}
	return l, nil
}

func scalar(value any) any {
	number, ok := value.(json.Number)
	if !ok {
		return value
	}
	if n, err := number.Int64(); err == nil {
		return n
	}
	f, _ := number.Float64()
	return f
}

// get returns the value of a field, and nil where there is none.
func (l line) get(name string) any {
	for _, f := range l {
		if f.name == name {
			return f.value
		}
	}
	return nil
}

// str returns a field that is a string, and "" for any other.
func (l line) str(name string) string {
	s, _ := l.get(name).(string)
	return s
}

// formats are what the fields look like. Those that are not here are any text.
var formats = map[string]func(any) bool{
	"time": isTime, "conn": like(`[A-Z2-7]{6}-[1-9][0-9]*`), "chain": like(`[0-9a-f]{64}`), "head": like(`[0-9a-f]{64}`),
	"listen": isAddress, "remote": isPeer, "count": isCount, "admission": like(`queue|reject|takeover`),
	"version": like(`TLS 1\.[23]`), "cipher": like(`TLS_[A-Z0-9_]+`), "curve": like(`[A-Za-z0-9]+`), "alpn": like(`(sallyport/1)?`),
	"mechanism": like(`(SCRAM-SHA-256(-PLUS)?)?`), "binding": like(`(tls-exporter|tls-server-end-point)?`),
	"reason": like(`[a-z0-9]+(-[a-z]+)*`), "keyword": like(`[a-z-]*`), "verb": like(`[A-Z0-9-]*`), "direction": like(`in|out`),
	"duration": isSeconds, "waited": isSeconds, "uptime": isSeconds,
	"deed": like(`evict|reload|stop`), "whom": like(`[A-Z2-7]{6}-[1-9][0-9]*`), "why": like(`signal|truncated|vanished`), "size": isCount, "free": isCount,
	"data": isBase64, "body": isBase64, "resumed": isBool, "ok": isBool,
	"n": isCount, "code": isCount, "argument_bytes": isCount, "body_bytes": isCount, "reply_bytes": isCount, "position": isCount, "token": isCount,
	"bytes": isCount, "bytes_in": isCount, "bytes_out": isCount, "requests": isCount, "octets": isCount, "records": isCount,
}

func like(pattern string) func(any) bool {
	whole := regexp.MustCompile(`^(` + pattern + `)$`)
	return func(value any) bool {
		s, ok := value.(string)
		return ok && whole.MatchString(s)
	}
}

func isTime(value any) bool {
	s, _ := value.(string)
	_, err := time.Parse("2006-01-02T15:04:05.000000Z", s)
	return err == nil
}

func isAddress(value any) bool {
	s, _ := value.(string)
	_, err := netip.ParseAddrPort(s)
	return err == nil || s == "pipe" // in synthetic time
}

// isPeer takes the source of refused connections as well.
func isPeer(value any) bool {
	s, _ := value.(string)
	_, addressErr := netip.ParseAddr(s)
	_, prefixErr := netip.ParsePrefix(s)
	return isAddress(value) || addressErr == nil || prefixErr == nil || s == "" || s == "others"
}

// isSeconds takes what no spec lasts for an error of the unit.
func isSeconds(value any) bool {
	switch n := value.(type) {
	case int64:
		return n >= 0 && n <= 3600
	case float64:
		return n > 0 && n <= 3600
	}
	return false
}

func isCount(value any) bool {
	n, ok := value.(int64)
	return ok && n >= 0
}

func isBool(value any) bool {
	_, ok := value.(bool)
	return ok
}

func isBase64(value any) bool {
	s, ok := value.(string)
	_, err := base64.StdEncoding.DecodeString(s)
	return ok && err == nil
}

// wellFormed checks that a line is an event as [Events] has it: with its level,
// and its fields in their order and their formats.
func (l line) wellFormed() error {
	event := l.str("event")
	own, known := Events[event]
	want := "time level event "
	if l.get("conn") != nil {
		want += "conn "
	}
	want += own
	if event == "request" && l.get("argument") != nil {
		want += payload
	}
	if l.str("reason") == "evicted" && event == "session.close" {
		want += " by"
	}
	if l.get("token") != nil && event == "session.open" {
		want += " token"
	}
	if l.str("deed") == "evict" {
		want += " whom"
	}
	if l.get("head") != nil {
		want += " head"
	}
	want += " chain"
	var names []string
	for _, f := range l {
		names = append(names, f.name)
		if is := formats[f.name]; is != nil && !is(f.value) {
			return fmt.Errorf("%s: %s is %#v", event, f.name, f.value)
		}
	}
	if !known || !slices.Equal(names, strings.Fields(want)) {
		return fmt.Errorf("an event with the fields %q, which must have %q", names, strings.Fields(want))
	}
	level, other := levels[event]
	if l.str("why") == "signal" || event == "tls.fail" && l.str("level") == "info" && leaves.MatchString(l.str("error")) {
		level = "info"
	}
	if days, _ := l.get("days").(int64); days < 0 {
		level = "error"
	}
	if l.str("level") != level && (other || l.str("level") != "info") {
		return fmt.Errorf("%s: its level is %q", event, l.str("level"))
	}
	return nil
}

// follows checks that an event may come behind the last one of its connection.
func follows(last, event string) error {
	if !slices.Contains(strings.Fields(next[last]), event) {
		return fmt.Errorf("%s comes behind %q of its connection", event, last)
	}
	return nil
}
