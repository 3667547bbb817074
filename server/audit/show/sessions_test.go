package show

import (
	"strings"
	"testing"
	"time"
)

// ended is a log of a session that ended.
const ended = `{"time":"2026-03-01T12:00:00.000000Z","level":"info","event":"conn.accept","conn":"1","remote":"192.0.2.1:50000"}
{"time":"2026-03-01T12:00:01.250000Z","level":"info","event":"session.open","conn":"1","user":"alice"}
{"time":"2026-03-01T12:00:02.000000Z","level":"info","event":"request","conn":"1","n":1}
{"time":"2026-03-01T12:00:19.750000Z","level":"info","event":"session.close","conn":"1","reason":"quit","requests":1,"duration":18.5}
`

const bobs = `{"time":"2026-03-01T13:00:00.000000Z","event":"conn.accept","conn":"2","remote":"[2001:db8::1]:50000"}
{"time":"2026-03-01T13:00:00.000000Z","event":"conn.accept","conn":"3","remote":"192.0.2.2:1"}
{"time":"2026-03-01T13:00:00.000000Z","event":"session.open","conn":"2","user":"bob"}
{"time":"2026-03-01T13:00:00.000000Z","event":"request","conn":"3","n":1}
{"time":"2026-03-01T13:00:00.000000Z","event":"request","conn":"2","n":1}
{"time":"2026-03-01T13:00:00.000000Z","event":"request","conn":"2","n":2}
{"time":"2026-03-01T13:02:05.000000Z","event":"conn.close","conn":"3","reason":"timeout"}
`

func TestSessions(t *testing.T) {
	t.Parallel()
	const (
		alice  = "2026-03-01 12:00:01.250Z 1            alice        from 192.0.2.1:50000             18.5 s       1 request   quit\n"
		bob    = "2026-03-01 13:00:00.000Z 2            bob          from [2001:db8::1]:50000      2 min 5 s       2 requests  "
		nobody = "2026-03-01 12:00:01.250Z 1            -            from -                           18.5 s       1 request   quit\n"
		start  = `{"time":"2026-03-02T00:00:00.000000Z","event":"server.start"}` + "\n"
	)
	accepted, closed := strings.SplitAfter(ended, "\n")[0], strings.SplitAfter(ended, "\n")[3]
	for name, c := range map[string]struct {
		logs []string
		o    Options
		want string
	}{
		"ended":                  {[]string{ended}, Options{}, alice},
		"still open":             {[]string{ended + bobs}, Options{}, alice + bob + "still open\n"},
		"of a torn log":          {[]string{ended + bobs + `{"time":"2026-03-02T00`}, Options{}, alice + bob + "still open\n"},
		"of a rotated log":       {[]string{ended[:300], ended[300:] + bobs}, Options{}, alice + bob + "still open\n"},
		"without an end":         {[]string{bobs + start + ended}, Options{}, bob + "the server died\n" + alice},
		"evicted":                {[]string{strings.Replace(ended, `"quit"`, `"evicted","by":"the\u0007boss"`, 1)}, Options{}, strings.Replace(alice, "quit", `evicted by "the\aboss"`, 1)},
		"without its start":      {[]string{closed}, Options{}, nobody},
		"of a restarted server":  {[]string{accepted + start + closed}, Options{}, nobody},
		"of a closed connection": {[]string{accepted + `{"time":"","event":"conn.close","conn":"1"}` + "\n" + closed}, Options{}, nobody},
		"none":                   {[]string{accepted}, Options{}, ""},
		"one user's":             {[]string{ended + bobs}, Options{User: "alice"}, alice},
		"since":                  {[]string{ended + bobs}, Options{Since: time.Date(2026, 3, 1, 12, 0, 20, 0, time.UTC)}, bob + "still open\n"},
		"since, still going":     {[]string{ended}, Options{Since: time.Date(2026, 3, 1, 12, 0, 19, 0, time.UTC)}, alice},
		"another zone":           {[]string{ended}, Options{Zone: time.FixedZone("", 3600)}, strings.Replace(alice, "12:00:01.250Z", "13:00:01.250+01:00", 1)},
		"several still open":     {[]string{strings.Replace(ended, closed, bobs, 1)}, Options{}, strings.Replace(alice, "   18.5 s       1 request   quit", "1 h 2 min       1 request   still open", 1) + bob + "still open\n"},
		"hostile":                {[]string{strings.Replace(ended, "alice", `x\u001b[2J\u202e`, 1)}, Options{}, strings.Replace(alice, "alice       ", `"x\x1b[2J\u202e"`, 1)},
	} {
		equal(t, name, printed(t, Sessions, c.o, c.logs), c.want)
	}
}
