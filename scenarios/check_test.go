package scenarios

import (
	"strings"
	"testing"
	"time"
)

// checkErrors runs scripts and compares their errors. Each must have the text, or be nil if the text is empty.
func checkErrors(t *testing.T, target *Target, scripts map[string]string) {
	t.Helper()
	t.Parallel()
	for script, want := range scripts {
		r := runOne(t, script, target)
		if got := errorText(r.Err); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: got %s, want %q", script, got, want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// An expectation that is not met fails, in whatever form the script has it.
func TestExpectationsCanFail(t *testing.T) {
	const body = "alice login\nalice ask-body 'a line' ECHO\n"
	checkErrors(t, &Target{}, map[string]string{
		"alice login\nalice ask ECHO hello\nalice hears 250 '^$'":      "4: alice hears 250 ^$: expected 250 ^$",
		"alice login\nalice ask ECHO hello\nalice hears 250 '^(no)?$'": "4: alice hears",
		body + "alice hears 251 '^$'":                                  "4: alice hears 251 ^$: expected 251 ^$",
		body + "alice hears 251 '^a line$'":                            "",
		"alice login\nalice notices never &":                           "3: alice notices never: the script ended before",
		"alice login\nalice notices never &\nstop":                     "3: alice notices never: the script ended before",
		"alice login\n! alice hears 250 &":                             "3: alice hears 250: the script ended before",
		"alice login\nlog has event=never &":                           "3: log has event=never: the script ended before",
		"alice login\n! alice ask TIME &\nalice hears 250":             "3: alice ask TIME: it succeeded, and had to fail",
		"server\noperator kills\nsybil 2 wrong-password":               "4: sybil 2 wrong-password: client: no connection",
		"! alice login":                                  "2: alice login: it succeeded, and had to fail",
		"alice login\n? alice notices never &":           "",
		"alice login\nbob login &\nbob notices position": "",
		"alice login\nalice connect\nalice hears 220\nlog has event=session.close\nbob login": "",
		"alice connect\nalice hears 220\noperator kills\nalice ends EOF":                      `expected the end "EOF", came`,
		"alice login\nalice hangs-up":                                          "closed is only possible after connect",
		"mallory stands-between alice\nalice login":                            "3: alice login: client: login failed",
		"mallory stands-between alice proof flip=99\nalice login binding=none": "3: alice login",
		"echo a\ncmp stdout nowhere":                                           "3: cmp stdout nowhere: open ",
		"alice login\nalice ask ECHO '(a'\nalice hears 250 -> it\nalice ask ECHO '((a'\nalice hears 250 ^$it": `6: alice hears 250 ^\(a: expected`,
		"alice login\nalice ask TIME\nalice hears two":                                                        `4: alice hears two: "two" is no reply code`,
		"alice login pasword=x":       `2: alice login pasword=x: unknown option "pasword"; there are: password`,
		"alice login\nserver depth=1": `3: server depth=1: the server runs already`,
	})
}

// The failure of a step that ends at its deadline has the line, and what the step expected.
func TestLateStepsFail(t *testing.T) {
	checkErrors(t, &Target{Timeout: 2 * time.Second}, map[string]string{
		"alice notices never":                          `0.txtar:2: alice notices never: nothing of the kind within 2s: expected a notice "never", came []`,
		"alice notices never &\nwait":                  "0.txtar:2: alice notices never: nothing of the kind within 2s: ",
		"alice login\nalice stalls\nalice ask TIME":    "4: alice ask TIME: nothing of the kind",
		"alice login\nlog counts 2 event=session.open": "expected 2 records with event=session.open, found 1",
	})
}

// A step that must fail, and does what it says at the very end of the script, has not been cut off by that end.
func TestSuccessAtTheEndIsNotCutOff(t *testing.T) {
	t.Parallel()
	for want, fault := range map[string]string{"!": "it succeeded, and had to fail", "?": "", "": ""} {
		st := newStage(suiteOf(t, "alice login").Scenarios[0], nil, &Target{}, time.Now())
		st.words = words{background: true, want: want}
		step, err := st.begin("alice", []string{"ask", "TIME"})
		noError(t, err)
		st.leave()
		st.end(step, nil)
		if got := errorText(st.unsettled()); (got == "") != (fault == "") || !strings.Contains(got, fault) {
			t.Errorf("with %q before it: got %q, want %q", want, got, fault)
		}
	}
}

// Where a script fails, what its end has cut off is not shown as a fault, too.
func TestWhatIsCutOffIsNoFault(t *testing.T) {
	t.Parallel()
	r := runOne(t, "alice login\nbob login &\nbob notices position\nstdout wrong", &Target{})
	if r.Status != Failed || r.Steps[1].Text != "login" || r.Steps[1].Err != "" || r.Steps[3].Err == "" {
		t.Errorf("%s %+v", r.Status, r.Steps)
	}
}

// Each check of a connection of lines can fail, and its error has what came instead.
func TestLinesFail(t *testing.T) {
	checkErrors(t, &Target{}, map[string]string{
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
		"alice login\nlog counts 0 event=session.open":                                  "found 1: there are more",
		"alice login\nlog counts one event=session.open":                                `"one" is no number`,
		"server tls-min=1.1":                                                            `tls-min can't be "1.1"`,
		"server key=dsa":                                                                `key can't be "dsa"`,
		"server admission=lottery":                                                      `admission can't be "lottery"`,
		"server login-timeout=1ms\nalice connect tls=none\nalice hears-tls alert=0":     "expected alert=0\nheard    ",
		"alice connect\nalice hears 220\nalice floods NOOP NOOP QUIT\nalice hears 250":  "",
		"alice connect\nalice hears 220\nalice floods 'ECHO 1'\nalice hears 421 errors": "heard    530",
	})
}

// Each check of Mallory as a server can fail, and its error has what came instead.
func TestRogueFails(t *testing.T) {
	const seated = "mallory awaits alice\nalice login &\nmallory seats\nwait\n"
	checkErrors(t, &Target{Timeout: time.Second}, map[string]string{
		seated + "alice ask TIME &\nmallory reads ^TIME\nmallory sends '250 now'\nalice hears 250 ^now": "",
		seated + "alice ask TIME &\nmallory reads ^DATE":                                                "7: mallory reads ^DATE: expected \"^DATE\"\nread     \"TIME\"",
		"mallory awaits alice\nalice connect\nalice sends A\nalice hangs-up\nmallory ends":              `before the end alice sent ["A"]`,
		seated + "alice hangs-up reset\nmallory reads TIME":                                             `mallory reads TIME: expected "TIME": alice's connection is over`,
		seated + "alice hangs-up reset\nmallory ends EOF":                                               `mallory ends EOF: expected the end "EOF", came "read tcp`,
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
	})
}

func TestMalloryRefuses(t *testing.T) {
	checkErrors(t, &Target{}, map[string]string{
		"mallory proof turn":                    `proof can't be changed by "turn"; the changes are truncate`,
		"mallory proof flip":                    `proof can't be changed by "flip"`,
		"mallory proof flip=x":                  `proof can't be changed by "flip=x"`,
		"mallory proof bytes=99999999999":       `proof can't be changed by "bytes=99999999999"`,
		"mallory nonce flip=0":                  `nonce can't be changed by "flip=0"`,
		"mallory proof none":                    `proof can't be changed by "none"`,
		"mallory proof flip=99":                 "the alteration changes nothing",
		"mallory proof password=x":              "usage: mallory proof CHANGE",
		"mallory proof flip=0 flip=1":           "usage: mallory proof CHANGE",
		"mallory unaltered proof":               "usage: mallory unaltered",
		"mallory flag p":                        "flag can't be",
		"mallory unaltered password=":           "SASLprep",
		"mallory serves erin":                   `"erin" is no client`,
		"mallory serves alice proof flip=0":     `there is no "proof" to change, but iterations`,
		"mallory serves alice signature":        "usage: mallory serves",
		"mallory serves alice signature turn":   `signature can't be changed by "turn"`,
		"mallory stands-between bob proof turn": `proof can't be changed by "turn"`,
		"mallory stands-between server":         `"server" is no client`,
		"mallory steps-aside alice":             `"alice" doesn't connect to mallory`,
		"mallory sends NOOP":                    "mallory is not connected",
	})
}

// Mallory alters both mechanisms, and both types of binding.
func TestMalloryInEveryCombination(t *testing.T) {
	t.Parallel()
	const script = "matrix tls=1.2,1.3 mechanism=plain,plus\nmallory unaltered\nmallory hears 235\nmallory hangs-up reset\nmallory proof flip=31\nmallory hears 535\nmallory serves bob\nbob login\nmallory serves bob signature flip=0\n! bob login"
	s := suiteOf(t, script)
	for r := range s.Run(t.Context()) {
		if r.Status != Passed {
			t.Errorf("%s: %s %v", r.Name(), r.Status, r.Err)
		}
	}
}
