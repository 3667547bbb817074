package mallory

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/fixtures"
)

const good = `# RFC 5802 §5.1
battery: 3
victim: server
stage: client-final
reason: nonce
control: scram/00-plus

C: p=tls-exporter,,n=alice,r={cnonce}
S: r={cnonce}{snonce},s={salt},i={i}
C! c={cbind},r={cnonce},p={proof}
`

// changed is the script of good after a change.
func changed(t *testing.T, old, new string) (Script, error) {
	t.Helper()
	if !strings.Contains(good, old) {
		t.Fatalf("%q is not there", old)
	}
	transcript, err := fixtures.Parse("scram/x.txt", strings.Replace(good, old, new, 1))
	if err != nil {
		t.Fatal(err)
	}
	return NewScript(transcript)
}

func TestNewScriptRefuses(t *testing.T) {
	t.Parallel()
	if _, err := changed(t, "", ""); err != nil {
		t.Fatalf("control: %v", err)
	}
	for name, change := range map[string][2]string{
		"an unknown setting":        {"control", "colour: red\ncontrol"},
		"a number that is none":     {"control", "iterations: many\ncontrol"},
		"a yes that is none":        {"control", "known: maybe\ncontrol"},
		"a symbol in a setting":     {"control", "user: {cnonce}\ncontrol"},
		"a server that begins":      {"C: p=", "S: p="},
		"two messages in one turn":  {"C! c", "S: c"},
		"two of Mallory's":          {"C! c", "C! c\nC! c"},
		"the honest one behind her": {"C! c", "C! c\nC: c"},
		"a deed":                    {"C! c", "C~ reset"},
		"a fifth message":           {"{proof}\n", "{proof}\nS: v\nC: x\n"},
	} {
		if _, err := changed(t, change[0], change[1]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What must not pass for a replay of a transcript.
func TestReplayFinds(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][2]string{
		"a client that says something else": {"n=alice,r", "n=bob,r"},
		"a server that says something else": {"s={salt}", "s={salt},x=1"},
		"a fault that is none":              {"r={cnonce},p", "r={cnonce}{snonce},p"},
		"a symbol without a value":          {"{cbind}", "{nothing}"},
		"a fault after a fault":             {"n=alice,r", "n=alice,x=1,r"},
		"another stage":                     {"stage: client-final", "stage: client-first"},
		"another reason":                    {"reason: nonce", "reason: malformed"},
		"another victim":                    {"victim: server", "victim: client"},
	} {
		s, err := changed(t, change[0], change[1])
		if err != nil {
			t.Fatal(err)
		}
		outcome, err := s.Play(t.Context(), EndToEnd)
		if err == nil {
			err = s.Judge(EndToEnd, outcome)
		}
		if err == nil {
			t.Errorf("%s: ends as %q", name, outcome)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	s, err := changed(t, "", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range s.Ways() {
		outcome, err := s.Play(t.Context(), way)
		if err != nil || s.Judge(way, outcome) != nil {
			t.Errorf("control: %s ends as %q, %v", way, outcome, err)
		}
	}
	found := Outcome{"server", "client-final", "nonce"}
	for _, c := range []struct {
		way Way
		Outcome
	}{
		{ServerAlone, Outcome{}},
		{ServerAlone, Outcome{Stage: fixtures.Done}},
		{EndToEnd, Outcome{"client", found.Stage, found.Reason}},
		{EndToEnd, Outcome{found.Victim, "client-first", found.Reason}},
		{ClientAlone, Outcome{"client", "server-first", "nonce"}},
	} {
		if s.Judge(c.way, c.Outcome) == nil {
			t.Errorf("%s may end as %q", c.way, c.Outcome)
		}
	}
}

func TestScriptsNumbered(t *testing.T) {
	t.Parallel()
	transcript, err := fixtures.Parse("scram/x.txt", strings.Replace(good, "control", "each: 2..3\ncontrol", 1)+"S! {n}\n")
	if err != nil {
		t.Fatal(err)
	}
	all, err := each(transcript)
	if err != nil || len(all) != 2 || all[1].Name != "scram/x 3" || all[1].Lines[3].Text != "3" {
		t.Errorf("%+v, %v", all, err)
	}
	for _, numbers := range []string{"2", "x..3", "2..x", "3..2"} {
		transcript.Settings["each"] = numbers
		if all, err := each(transcript); err == nil {
			t.Errorf("%s: %d scripts", numbers, len(all))
		}
	}
}
