// Package capability writes and reads what a server says of itself, in its reply to EHLO and in STAT.
package capability

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// capabilityTimeouts is the first word of the line of EHLO that has the Timeouts.
const capabilityTimeouts = "TIMEOUTS "

// Timeouts are the time limits that a server announces in its reply to EHLO, in whole seconds. Each is the
// earliest moment at which the server acts. Zero means no limit.
type Timeouts struct {
	Idle    time.Duration // of the seated client without a request, NOOP excluded
	Vanish  time.Duration // of a client whose kernel acknowledges nothing
	Session time.Duration // of the seat
	Wait    time.Duration // of a client in the queue
}

// String returns the line for EHLO. It rounds down, but to at least 1 s. A negative limit means no limit.
func (t Timeouts) String() string {
	whole := func(d time.Duration) int64 {
		if d <= 0 {
			return 0
		}
		return int64(max(d, time.Second) / time.Second)
	}
	return fmt.Sprintf("%sidle=%d vanish=%d session=%d wait=%d",
		capabilityTimeouts, whole(t.Idle), whole(t.Vanish), whole(t.Session), whole(t.Wait))
}

// ParseTimeouts finds the Timeouts in the text of a reply to EHLO. It ignores words that it doesn't know. ok
// means that all four limits are there. A missing one would not mean that there is no limit.
func ParseTimeouts(ehlo string) (t Timeouts, ok bool) {
	missing := map[string]*time.Duration{"idle": &t.Idle, "vanish": &t.Vanish, "session": &t.Session, "wait": &t.Wait}
	for line := range strings.SplitSeq(ehlo, "\n") {
		line, found := strings.CutPrefix(line, capabilityTimeouts)
		if !found {
			continue
		}
		for word := range strings.FieldsSeq(line) {
			name, digits, _ := strings.Cut(word, "=")
			seconds, err := strconv.ParseUint(digits, 10, 32)
			if limit := missing[name]; limit != nil && err == nil {
				*limit = time.Duration(seconds) * time.Second
				delete(missing, name)
			}
		}
	}
	return t, len(missing) == 0
}
