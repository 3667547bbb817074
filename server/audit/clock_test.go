package audit

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// Each record has the time of its own, to the microsecond, however the clock goes.
func TestTimes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var now time.Time
	l := New(&out, Options{Now: func() time.Time { return now }})
	var got, want []string
	for _, text := range []string{
		"2026-03-01T23:59:59.999999Z", "2026-03-02T00:00:00.000000Z", "2026-03-02T00:00:00.000001Z",
		"2026-03-02T00:00:01.120000Z", "2026-03-01T23:59:59.500000Z", "1969-12-31T23:59:59.250000Z",
	} {
		var err error
		now, err = time.Parse(time.RFC3339, text)
		check(t, err)
		l.Info("server.start", "").Send()
		want = append(want, text)
	}
	check(t, l.Flush())
	for line := range bytes.Lines(out.Bytes()) {
		var record struct{ Time string }
		check(t, json.Unmarshal(line, &record))
		got = append(got, record.Time)
	}
	equal(t, "times", got, want)
}
