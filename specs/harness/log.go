package harness

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/server/audit"
)

// Log is the interaction log in memory.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
	fail error
}

// Write takes what the server writes.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return 0, l.fail
	}
	return l.text.Write(p)
}

// Fail makes writing fail until it is called with nil.
func (l *Log) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

// String is the log as it would stand in the file.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Verify checks the chain.
func (l *Log) Verify() error {
	_, err := audit.Verify(strings.NewReader(l.String()), "log", "")
	return err
}

// Record is one line of the log.
type Record map[string]any

// Str returns a field that is a string, and "" where it is not.
func (r Record) Str(field string) string {
	s, _ := r[field].(string)
	return s
}

// Records returns all events so far, or only those of the given kinds.
func (l *Log) Records(events ...string) (all []Record) {
	for line := range strings.Lines(l.String()) {
		r := Record{}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			panic("a line of the log is no JSON: " + line)
		}
		if len(events) == 0 || slices.Contains(events, r.Str("event")) {
			all = append(all, r)
		}
	}
	return all
}

// Lines returns the lines of the given events so far, or all.
func (l *Log) Lines(events ...string) (all []Line) {
	for text := range strings.Lines(l.String()) {
		line, err := ParseLine(text)
		if err != nil {
			panic(err)
		}
		if len(events) == 0 || slices.Contains(events, line.Str("event")) {
			all = append(all, line)
		}
	}
	return all
}

// Connections returns the kinds of events of each connection, in the order in
// which they began.
func (l *Log) Connections() (all [][]string) {
	began := map[string]int{}
	for _, line := range l.Lines() {
		conn := line.Str("conn")
		if conn == "" {
			continue
		}
		i, known := began[conn]
		if !known {
			i, all = len(all), append(all, nil)
			began[conn] = i
		}
		all[i] = append(all[i], line.Str("event"))
	}
	return all
}

// Events returns the kinds of the records so far, in order; of one connection
// where conn is not empty.
func (l *Log) Events(conn string) (kinds []string) {
	for _, r := range l.Records() {
		if conn == "" || r.Str("conn") == conn {
			kinds = append(kinds, r.Str("event"))
		}
	}
	return kinds
}
