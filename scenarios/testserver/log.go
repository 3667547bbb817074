package testserver

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/server/audit"
)

// Log is an interaction log in memory. The zero Log is empty and ready to use. It is safe for concurrent use.
type Log struct {
	// OnWrite is called after each write, without a lock. Nil calls nothing. Set it before the first.
	OnWrite func()

	mu   sync.Mutex
	text bytes.Buffer
	fail error
}

// Write takes what the server writes.
func (l *Log) Write(p []byte) (n int, err error) {
	l.mu.Lock()
	if err = l.fail; err == nil {
		n, err = l.text.Write(p)
	}
	l.mu.Unlock()
	if err == nil && l.OnWrite != nil {
		l.OnWrite()
	}
	return n, err
}

// Fail makes each following write fail with err. Nil lets them succeed again.
func (l *Log) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

// String returns the text of the log.
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

// Record is one line of the log. Its numbers are float64.
type Record map[string]any

// Str returns a field that is a string, and "" for any other.
func (r Record) Str(field string) string {
	s, _ := r[field].(string)
	return s
}

// Records returns the records of the given events so far, or all if none are given. It panics where a
// line is no JSON object.
func (l *Log) Records(events ...string) (all []Record) {
	for line := range strings.Lines(l.String()) {
		r := Record{}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			panic("testserver: a line of the log is no JSON object: " + line)
		}
		if len(events) == 0 || slices.Contains(events, r.Str("event")) {
			all = append(all, r)
		}
	}
	return all
}

// Events returns the events of the records so far, in order: those of one connection, or all if conn is empty.
func (l *Log) Events(conn string) (events []string) {
	for _, r := range l.Records() {
		if conn == "" || r.Str("conn") == conn {
			events = append(events, r.Str("event"))
		}
	}
	return events
}
