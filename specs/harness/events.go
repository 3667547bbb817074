package harness

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Events are all events of the interaction log, each with the fields of its own
// in their order: behind time, level, event and, about a connection, conn, and
// before chain.
var Events = map[string]string{
	"server.start":  "listen admission",
	"server.stop":   "uptime",
	"server.reload": "ok",
	"conn.accept":   "remote",
	"conn.refuse":   "remote reason",
	"conn.close":    "reason",
	"tls.handshake": "version cipher curve resumed alpn",
	"tls.fail":      "error",
	"login.ok":      "user mechanism binding",
	"login.fail":    "user mechanism reason",
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
	"log.repair":    "octets data",
	"log.drop":      "records",
}

// payload are the fields that a request has in addition with --log-payload.
const payload = " argument body"

// What Normal puts in the place of a value that no spec can know.
const (
	AnyTime    = "a time"
	AnyConn    = "a connection"
	AnyAddress = "an address"
	AnySeconds = "seconds"
	AnyChain   = "a chain value"
	AnyCipher  = "a cipher suite of TLS 1.3" // which one depends on the hardware
)

// Field is one field of a line: a string, an int64, a float64 or a bool.
type Field struct {
	Name  string
	Value any
}

// Line is a line of the log, its fields in the order in which they stand there.
type Line []Field

// ParseLine reads a line: a JSON object, flat, no name twice, nothing behind it.
func ParseLine(text string) (line Line, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, fmt.Errorf("no object: %.100q", text)
	}
	for d.More() {
		name, _ := d.Token()
		value, err := d.Token()
		if _, nested := value.(json.Delim); nested || err != nil || line.Get(name.(string)) != nil {
			return nil, fmt.Errorf("%q is no scalar, or there twice: %.100q", name, text)
		}
		line = append(line, Field{name.(string), scalar(value)})
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than an object: %.100q", text)
	}
	return line, nil
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

// Get is the value of a field, nil where there is none.
func (line Line) Get(name string) any {
	for _, f := range line {
		if f.Name == name {
			return f.Value
		}
	}
	return nil
}

// Str is a field that is a string, "" where it is not.
func (line Line) Str(name string) string {
	s, _ := line.Get(name).(string)
	return s
}

// Normal is the line with each value that no spec can know replaced by what it
// is, if it is that.
func (line Line) Normal() Line {
	normal := slices.Clone(line)
	for i, f := range line {
		if any, ok := varying[f.Name]; ok && any.is(f.Value) {
			normal[i].Value = any.name
		}
	}
	return normal
}

type varies struct {
	name string
	is   func(any) bool
}

var (
	connID = regexp.MustCompile(`^[A-Z2-7]{6}-[1-9][0-9]*$`)
	chain  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	tls13  = regexp.MustCompile(`^TLS_(AES_128_GCM_SHA256|AES_256_GCM_SHA384|CHACHA20_POLY1305_SHA256)$`)

	varying = map[string]varies{
		"time":     {AnyTime, isTime},
		"conn":     {AnyConn, matching(connID)},
		"chain":    {AnyChain, matching(chain)},
		"head":     {AnyChain, matching(chain)},
		"cipher":   {AnyCipher, matching(tls13)},
		"listen":   {AnyAddress, isAddress},
		"remote":   {AnyAddress, isAddress},
		"duration": {AnySeconds, isSeconds},
		"waited":   {AnySeconds, isSeconds},
		"uptime":   {AnySeconds, isSeconds},
	}
)

func matching(pattern *regexp.Regexp) func(any) bool {
	return func(value any) bool {
		s, ok := value.(string)
		return ok && pattern.MatchString(s)
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
	return err == nil
}

// isSeconds takes what no spec lasts for an error of the unit.
func isSeconds(value any) bool {
	switch n := value.(type) {
	case int64:
		return n == 0
	case float64:
		return n > 0 && n < 3600
	}
	return false
}

// wellFormed checks that a line is an event as Events has it.
func (line Line) wellFormed() error {
	own, known := Events[line.Str("event")]
	want := "time level event "
	if line.Get("conn") != nil {
		want += "conn "
	}
	want += own
	if line.Str("event") == "request" && line.Get("argument") != nil {
		want += payload
	}
	if line.Get("head") != nil {
		want += " head"
	}
	want += " chain"
	var names []string
	for _, f := range line {
		names = append(names, f.Name)
	}
	if !known || !slices.Equal(names, strings.Fields(want)) {
		return fmt.Errorf("an event with the fields %q, which must have %q", names, strings.Fields(want))
	}
	return nil
}
