package capability

import (
	"testing"
	"time"
)

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		limits Timeouts
		line   string
	}{
		{Timeouts{15 * time.Minute, 30 * time.Second, 0, 17 * time.Minute}, "TIMEOUTS idle=900 vanish=30 session=0 wait=1020"},
		{Timeouts{-1, -1, -1, -1}, "TIMEOUTS idle=0 vanish=0 session=0 wait=0"},
		{Timeouts{1, time.Second - 1, time.Second, 2*time.Second - 1}, "TIMEOUTS idle=1 vanish=1 session=1 wait=1"},
	} {
		if line := test.limits.String(); line != test.line {
			t.Errorf("%q, not %q", line, test.line)
		}
	}
}

func TestParseTimeouts(t *testing.T) {
	t.Parallel()
	want := Timeouts{900 * time.Second, 30 * time.Second, 0, 1020 * time.Second}
	for _, ehlo := range []string{
		"rig\nTIMEOUTS idle=900 vanish=30 session=0 wait=1020\nADMISSION queue",
		"rig\nAUTH X\nTIMEOUTS later=7 wait=1020 session=0 new vanish=30 idle=900 idle=1",
	} {
		if got, ok := ParseTimeouts(ehlo); got != want || !ok {
			t.Errorf("%q: %v, %v", ehlo, got, ok)
		}
	}
	for _, ehlo := range []string{
		"", "rig\nADMISSION queue", "rig\nTIMEOUTS", "idle=900 vanish=30 session=0 wait=1020",
		"rig\nTIMEOUTS idle=900 vanish=30 session=0", "rig\nTIMEOUTS idle=900 vanish= session=0 wait=1020",
		"rig\nTIMEOUTS idle=-900 vanish=30 session=0 wait=1020", "rig\nTIMEOUTS idle=99999999999 vanish=30 session=0 wait=1020",
	} {
		if got, ok := ParseTimeouts(ehlo); ok {
			t.Errorf("%q: %v", ehlo, got)
		}
	}
}
