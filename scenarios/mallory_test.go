package scenarios

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// The other mechanism and the other binding are hers as well.
func TestMalloryInEveryCombination(t *testing.T) {
	t.Parallel()
	const script = "matrix tls=1.2,1.3 mechanism=plain,plus\nmallory unaltered\nmallory hears 235\nmallory vanish\nmallory proof flip=31\nmallory hears 535\nmallory serves bob\nbob login\nmallory serves bob signature flip=0\n! bob login"
	s := suiteOf(t, script)
	for r := range s.Run(t.Context()) {
		if r.Status != Passed {
			t.Errorf("%s: %s %v", r.Name(), r.Status, r.Err)
		}
	}
}

func TestMalloryAsAServer(t *testing.T) {
	t.Parallel()
	for deed, reason := range map[string]string{
		"":                      "",
		" password=guess":       "server-unverified",
		" signature flip=0":     "server-unverified",
		" signature missing":    "server-unverified",
		" signature other":      "server-unverified",
		" server-nonce other":   "nonce",
		" server-nonce missing": "malformed",
		" iterations is=1":      "iterations",
		" salt empty":           "malformed",
		" salt other":           "server-unverified", // she signs the one that she would have sent
	} {
		script := "mallory serves alice" + deed + "\nalice login"
		if reason != "" {
			script = "mallory serves alice" + deed + "\n! alice login\nalice ends " + reason
		}
		script += "\nmallory steps-aside alice\nalice login\nalice ask WHOAMI\nalice hears 250"
		if r := runOne(t, script, &Target{}); r.Err != nil {
			t.Errorf("mallory serves alice%s: %v", deed, r.Err)
		}
	}
}

// The client trusts her certificate, or the control would fail, too.
func TestMalloryInTheMiddle(t *testing.T) {
	t.Parallel()
	const between, altering = "mallory stands-between alice\n", "mallory stands-between alice "
	const refused = "! alice login binding=none\nalice ends 535\n! log has event=login.ok\nlog has event=login.fail reason="
	for script, want := range map[string]string{
		between + "alice login binding=none\nalice ask WHOAMI\nalice hears 250 alice\nalice quit": "",
		between + "alice login":                                                                                   "3: alice login",
		altering + "name other\n" + refused + "unknown-user":                                                      "",
		altering + "proof flip=3\n" + refused + "wrong-proof":                                                     "",
		altering + "binding missing\n" + refused + "malformed":                                                    "",
		altering + "client-nonce other\n! alice login binding=none\nalice ends nonce\n! log has event=login.ok":   "",
		altering + "iterations is=1\n! alice login binding=none\nalice ends iterations\n! log has event=login.ok": "",
		altering + "signature flip=0\n! alice login binding=none\nalice ends server-unverified":                   "",
		altering + "proof flip=99\n! alice login binding=none\n! log has event=login.ok":                          "",
		between + "bob login": "",
		between + "! alice login\nlog has event=login.fail reason=binding-mismatch\n! log has event=login.ok": "",
		between + "alice login binding=none\nalice vanish\nlog has event=session.close reason=closed":         "",
	} {
		if r := runOne(t, script, &Target{}); (r.Err == nil) != (want == "") || !strings.Contains(errorText(r.Err), want) {
			t.Errorf("%q: %v, want %q", script, r.Err, want)
		}
	}
}

func TestMalloryRefuses(t *testing.T) {
	t.Parallel()
	for deed, want := range map[string]string{
		"proof turn":                    `proof can't be changed by "turn"; the changes are truncate`,
		"proof flip":                    `proof can't be changed by "flip"`,
		"proof flip=x":                  `proof can't be changed by "flip=x"`,
		"proof bytes=99999999999":       `proof can't be changed by "bytes=99999999999"`,
		"nonce flip=0":                  `nonce can't be changed by "flip=0"`,
		"proof none":                    `proof can't be changed by "none"`,
		"proof flip=99":                 "nothing is wrong with",
		"proof password=x":              "usage: mallory proof CHANGE",
		"proof flip=0 flip=1":           "usage: mallory proof CHANGE",
		"unaltered proof":               "usage: mallory unaltered",
		"flag p":                        "flag can't be",
		"unaltered password=":           "SASLprep",
		"serves erin":                   `"erin" is no client`,
		"serves alice proof flip=0":     `there is no "proof" to change, but iterations`,
		"serves alice signature":        "usage: mallory serves",
		"serves alice signature turn":   `signature can't be changed by "turn"`,
		"stands-between bob proof turn": `proof can't be changed by "turn"`,
		"stands-between server":         `"server" is no client`,
		"steps-aside alice":             `"alice" doesn't come to mallory`,
		"sends NOOP":                    "mallory is not connected",
	} {
		if r := runOne(t, "mallory "+deed, &Target{}); !strings.Contains(errorText(r.Err), want) {
			t.Errorf("mallory %s: %v, want %q", deed, r.Err, want)
		}
	}
}

func TestMalloryElsewhere(t *testing.T) {
	t.Parallel()
	remote := elsewhere(t)
	for _, script := range []string{
		"mallory unaltered\nmallory hears 235\nmallory sends WHOAMI\nmallory hears 250 ^grace'$'\nmallory vanish",
		"mallory proof flip=3\nmallory hears 535",
		"mallory serves alice\nalice login\nmallory steps-aside alice\nalice login\nalice quit",
		"mallory serves alice\nalice login\nbob login\nbob quit",
		"mallory stands-between alice\n! alice login\nalice ends 535\nalice login binding=none\nalice quit",
	} {
		if r := runOne(t, script, &Target{Remote: remote}); r.Err != nil || r.Status != Passed {
			t.Errorf("%q: %s %v", script, r.Status, r.Err)
		}
	}
	for _, script := range []string{
		"mallory serves alice signature flip=0\n! alice login\nalice ends server-unverified",
		"mallory awaits alice\nalice login &\nmallory seats\nwait",
	} {
		if r := runOne(t, script, &Target{Remote: remote}); r.Status != Skipped || !strings.HasPrefix(r.Reason, "no server takes part in it") {
			t.Errorf("%q: %s %s %v", script, r.Status, r.Reason, r.Err)
		}
	}
	delete(remote.Passwords, "alice")
	if r := runOne(t, "mallory unaltered", &Target{Remote: remote}); r.Status != Skipped {
		t.Errorf("without alice's password: %s", r.Status)
	}
}

func TestMalloryHasADeadline(t *testing.T) {
	t.Parallel()
	r := runOne(t, "mallory proof flip=3", &Target{Remote: silent(t), Timeout: 200 * time.Millisecond})
	if !errors.Is(r.Err, context.DeadlineExceeded) || !strings.Contains(r.Err.Error(), "nothing of the kind within 200ms") {
		t.Errorf("%s %v", r.Status, r.Err)
	}
}
