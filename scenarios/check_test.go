package scenarios

import (
	"strings"
	"testing"
	"time"
)

// What is expected, and doesn't come, must not pass for the way in which it is written.
func TestExpectationsCanFail(t *testing.T) {
	t.Parallel()
	const body = "alice login\nalice ask-body 'a line' ECHO\n"
	for script, want := range map[string]string{
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
	} {
		r := runOne(t, script, &Target{})
		if got := errorText(r.Err); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: got %v, want %q", script, r.Err, want)
		}
	}
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

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Where a script fails, what its end has cut off is not shown as a fault, too.
func TestWhatIsCutOffIsNoFault(t *testing.T) {
	t.Parallel()
	r := runOne(t, "alice login\nbob login &\nbob notices position\nstdout wrong", &Target{})
	if r.Status != Failed || r.Steps[1].Text != "login" || r.Steps[1].Err != "" || r.Steps[3].Err == "" {
		t.Errorf("%s %+v", r.Status, r.Steps)
	}
}

// Who stalls hears nothing any more, though it is said.
func TestStalled(t *testing.T) {
	t.Parallel()
	for stalls, want := range map[string]string{"alice stalls\n": "4: alice ask TIME: nothing of the kind within 3s", "": ""} {
		r := runOne(t, "alice login\n"+stalls+"alice ask TIME\n", &Target{Timeout: 3 * time.Second})
		if got := errorText(r.Err); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: got %v, want %q", stalls, r.Err, want)
		}
	}
}
