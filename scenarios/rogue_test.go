package scenarios

import (
	"strings"
	"testing"
	"time"
)

// Each check of Mallory as a server can fail, and says what was there instead.
func TestRogueFails(t *testing.T) {
	t.Parallel()
	const seated = "mallory awaits alice\nalice login &\nmallory seats\nwait\n"
	for script, want := range map[string]string{
		seated + "alice ask TIME &\nmallory reads ^TIME\nmallory sends '250 now'\nalice hears 250 ^now": "",
		seated + "alice ask TIME &\nmallory reads ^DATE":                                                "7: mallory reads ^DATE: expected \"^DATE\"\nread     \"TIME\"",
		"mallory awaits alice\nalice connect\nalice sends A\nalice hangs-up\nmallory ends":              `before the end alice sent ["A"]`,
		seated + "alice vanish\nmallory reads TIME":                                                     `mallory reads TIME: expected "TIME": alice's connection is over`,
		seated + "alice vanish\nmallory ends EOF":                                                       `mallory ends EOF: expected the end "EOF", came "read tcp`,
		seated + "mallory greets":                                                                       "mallory greets only once",
		seated + "! alice login":                                                                        "",
		seated + "! alice login\nalice ends refused\nmallory steps-aside alice\nalice login":            "",
		"mallory greets":                                             "mallory awaits no client",
		"mallory reads x":                                            "mallory awaits no client",
		"mallory awaits erin":                                        `"erin" is no client`,
		"mallory awaits alice certificate=odd":                       `no fault "odd"`,
		"mallory awaits alice tls=1.0":                               `tls can't be "1.0"`,
		"mallory awaits alice iterations=many":                       `iterations="many" is no number`,
		"mallory awaits alice colour=red":                            `unknown option "colour"`,
		"mallory awaits alice\nmallory sends x":                      "nothing of the kind within 1s",
		"mallory awaits alice\nmallory awaits alice":                 "",
		"mallory awaits alice\nalice login no-wait &\nmallory seats": `before mallory challenges: the client sent "EHLO client" and not AUTH`,
		"mallory awaits alice\nalice connect\nmallory greets\nalice hears 220\nalice sends AUTH\nmallory signs":                                                                   `the client sent "AUTH" and not AUTH`,
		"mallory awaits alice\nalice connect\nalice sends 'AUTH X'\nmallory signs":                                                                                                `before mallory challenges: illegal base64`,
		"mallory awaits alice\nalice connect\nmallory challenges &\nalice reaches client-final\nalice reaches empty-line &\nmallory signs\nwait\nalice sends NOOP\nmallory seats": `the client sent "NOOP" behind its proof`,
		"mallory awaits alice\nalice connect\nmallory challenges &\nalice reaches client-final password=guess\n? alice reaches session &\nmallory signs":                          "wrong-proof",
		"mallory awaits alice certificate=expired\n! alice login\nmallory sends x":                                                                                                "mallory is not connected",
	} {
		r := runOne(t, script, &Target{Timeout: time.Second})
		if got := errorText(r.Err); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: got %s, want %q", script, got, want)
		}
	}
}
