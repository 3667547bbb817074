package notice

import (
	"testing"
	"time"
)

var opened = time.Unix(1, 0)

// A session is warned a minute before its end, or after half of a short limit.
func TestEnd(t *testing.T) {
	t.Parallel()
	const none = -1
	for _, c := range []struct {
		active, idle, limit time.Duration
		by, warnAt          time.Duration // none: never
		text                string
	}{
		{0, none, none, none, none, ""},
		{time.Hour, 15 * time.Minute, none, 75 * time.Minute, 74 * time.Minute, "idle for 14m: this session ends in 1m unless you do something"},
		{time.Hour, 15 * time.Minute, 2 * time.Hour, 75 * time.Minute, 74 * time.Minute, "idle for 14m: this session ends in 1m unless you do something"},
		{time.Hour, 90 * time.Minute, 2 * time.Hour, 2 * time.Hour, 119 * time.Minute, "this session ends in 1m: one may last 2h"},
		{time.Hour, none, 61*time.Minute + time.Second, 61*time.Minute + time.Second, time.Hour + time.Second, "this session ends in 1m: one may last 1h1m1s"},
		{0, 90 * time.Second, none, 90 * time.Second, 45 * time.Second, "idle for 45s: this session ends in 45s unless you do something"},
		{0, 2 * time.Second, none, 2 * time.Second, time.Second, "idle for 1s: this session ends in 1s unless you do something"},
		{0, 1999 * time.Millisecond, none, 1999 * time.Millisecond, 1999 * time.Millisecond, "idle for 2s: this session ends in 0s unless you do something"},
		{0, 0, none, 0, 0, "idle for 0s: this session ends in 0s unless you do something"},
	} {
		e := Session{Opened: opened, Active: opened.Add(c.active), Idle: c.idle, Limit: c.limit}.End()
		if c.by == none {
			if !e.By.IsZero() || !e.WarnAt.IsZero() || e.Due(opened) {
				t.Errorf("%+v: %v", c, e)
			}
			continue
		}
		if by, warnAt := e.By.Sub(opened), e.WarnAt.Sub(opened); by != c.by || warnAt != c.warnAt || e.Text(e.WarnAt) != c.text {
			t.Errorf("%+v: it ends after %v, and is warned after %v with %q", c, by, warnAt, e.Text(e.WarnAt))
		}
		if e.Due(e.WarnAt.Add(-1)) || e.Due(e.By) || e.Due(e.WarnAt) != e.WarnAt.Before(e.By) {
			t.Errorf("%+v: the notice is due at another time", c)
		}
	}
}

func TestLateNotice(t *testing.T) {
	t.Parallel()
	e := Session{Opened: opened, Active: opened, Idle: -1, Limit: time.Hour}.End()
	if got := e.Text(e.By.Add(-10 * time.Second)); got != "this session ends in 10s: one may last 1h" {
		t.Error(got)
	}
}
