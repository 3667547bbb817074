package scenarios

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Each check of a connection of lines can fail, and says what was there instead.
func TestLinesFail(t *testing.T) {
	t.Parallel()
	const late = "i/o timeout|nothing of the kind"
	for script, want := range map[string]string{
		"alice reaches command":                                                         "alice is not connected",
		"alice connect\nalice reaches bed":                                              `no step "bed"`,
		"alice connect\nalice reaches seat password=guess":                              "expected a challenge, heard 535",
		"alice connect\nalice reaches seat binding=loose":                               `binding can't be "loose"`,
		"alice connect\nalice reaches seat binding=old":                                 "no earlier TLS connection",
		"alice connect\nalice reaches command\nalice reaches seat user=bob":             "the login has begun",
		"alice connect\nalice reaches session\nalice authenticates":                     "is at the session already",
		"server admission=reject\nbob login\nalice connect\nalice reaches session":      "expected 235, heard 421 busy",
		"alice connect resume":                                                          "was not resumed",
		"alice connect tls=1.0":                                                         `tls can't be "1.0"`,
		"alice connect tls=1.2":                                                         "protocol version",
		"alice connect tls=none\nalice sends xxxxx\nalice hears-tls alert=70":           "expected alert=70\nheard",
		"alice connect tls=none\nalice sends xxxxx\nalice hears-tls handshake":          "expected handshake",
		"! alice connect tls=1.2\nalice hears-tls nothing":                              "expected nothing\nheard    1503",
		"! alice connect tls=1.2\nalice hears-tls alert=71":                             "expected alert=71\nheard    1503",
		"! alice connect tls=1.2\nalice hears-tls alert":                                `"alert" is none of`,
		"alice hears-tls nothing":                                                       "alice is not connected",
		"alice connect\nalice hangs-up gently":                                          `can't be "gently"`,
		"alice connect\nalice hangs-up reset\nalice ends EOF":                           "expected the end",
		"alice connect\nalice hears 220\nalice sends QUIT\nalice ends":                  "before the end came \"221 bye\"",
		"alice login\nlog counts 2 event=session.open":                                  "expected 2 records with event=session.open, found 1",
		"alice login\nlog counts 0 event=session.open":                                  "found 1: there are more",
		"alice login\nlog counts one event=session.open":                                `"one" is no number`,
		"server tls-min=1.1":                                                            `tls-min can't be "1.1"`,
		"server key=dsa":                                                                `key can't be "dsa"`,
		"server admission=lottery":                                                      `admission can't be "lottery"`,
		"server max-lobby=1\nalice connect\nalice hears 220\n! bob connect\nbob login":  "no connection",
		"server max-lobby=1\nalice connect\nalice hears 220\nbob login retry":           late,
		"server max-lobby=1\nalice connect\nalice hears 220\nbob connect retry":         late,
		"server login-timeout=1ms\nalice connect tls=none\nalice hears-tls alert=0":     "expected alert=0\nheard    ",
		"alice connect\nalice hears 220\nalice floods NOOP NOOP QUIT\nalice hears 250":  "",
		"alice connect\nalice hears 220\nalice floods 'ECHO 1'\nalice hears 421 errors": "heard    530",
	} {
		target := &Target{}
		if want == late || strings.Contains(script, "counts 2") {
			target.Timeout = 500 * time.Millisecond
		}
		r := runOne(t, script, target)
		got := fmt.Sprint(r.Err)
		if want == "" {
			want = "<nil>"
		}
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%q: got %s, want %q", script, got, want)
		}
	}
}

// A server that ends the connection without close_notify has not said EOF.
func TestEndWithoutCloseNotify(t *testing.T) {
	t.Parallel()
	r := runOne(t, "alice connect\nalice hears 220\noperator kills\nalice ends EOF", &Target{Timeout: time.Second})
	if r.Err == nil || !strings.Contains(r.Err.Error(), "without close_notify") && !strings.Contains(r.Err.Error(), "reset") {
		t.Errorf("got %v", r.Err)
	}
}
