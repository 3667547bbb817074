package probe

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/fixtures"
)

// A file of known deviations is refused with the number of the line.
func TestAcceptedLines(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\n":                            `line 1: "a" is not of the form`,
		"# a\n: reason":                  `line 2: ": reason" is not of the form`,
		"a: 1\nb: 2\na (SCRAM-SHA-1): 3": `line 3: "a" is also on line 1`,
	} {
		if _, err := ReadAccepted(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	known, err := ReadAccepted(strings.NewReader("# a\n03-nonce/otter: reason"))
	if err != nil {
		t.Fatal(err)
	}
	known.Name = "known"
	_, err = New(Config{Role: ServerRole, Target: Target{Dialect: "stdio"}, Command: []string{"true"}, Accepted: known})
	if err == nil || !strings.Contains(err.Error(), `known: line 2: "03-nonce/otter" is neither`) {
		t.Error(err)
	}
}

// Two lines may have one case: while it deviates, neither is out of date.
func TestAcceptedTwice(t *testing.T) {
	t.Parallel()
	known, err := ReadAccepted(strings.NewReader("03-nonce/other: first\n03-nonce/other plain: second"))
	if err != nil {
		t.Fatal(err)
	}
	r := known.mark(Result{Name: "03-nonce/other plain", Verdict: Fail})
	if names := known.unused(); r.Known != "first" || len(names) > 0 {
		t.Errorf("%q, unused: %q", r.Known, names)
	}
}

// A peer that does not know its own user at another name is not held against the RFC.
func TestOwnAuthzid(t *testing.T) {
	t.Parallel()
	p, err := New(Config{Role: ServerRole, Target: Target{Dialect: "stdio"}, Command: []string{"true"}, Level: "all"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range p.Cases() {
		if strings.HasPrefix(r.Name, "12-authzid/") && r.Expected == succeeds && (r.Rule != "policy" || !strings.Contains(r.Demand, "accepts")) {
			t.Errorf("%s: %s: %s", r.Name, r.Rule, r.Demand)
		}
	}
}

// Words of a refusal to test another machine repeat nothing, and rules fit the fault.
func TestWords(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"192.0.2.1": "192.0.2.1 is not this machine", "mail": "mail is 192.0.2.1, which is not this machine"} {
		err := notReached(&net.OpError{Op: "dial", Net: "tcp", Err: errNotAllowed{host, "192.0.2.1:25"}})
		if !strings.HasPrefix(err.Error(), want) {
			t.Error(err)
		}
	}
	for name, want := range map[string]string{"09-channel-binding/no-data plus": "c= is", "26-stripped/stripped plus": "A server refuses"} {
		if got := demand(&Result{Name: name, Section: "RFC 5802 §6"}); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := plainly(errors.New("TLS: remote error: tls: protocol version not supported")); !strings.Contains(got, "does not speak this version") {
		t.Error(got)
	}
}

// Only words of the peer are called a refusal.
func TestFailedLogin(t *testing.T) {
	t.Parallel()
	right := &fixtures.Vector{Found: fixtures.Outcome{Stage: fixtures.Done}}
	for want, p := range map[string]*played{
		"refused, though nothing is wrong":                                               {err: errRefused, words: "535 no"},
		"not accepted, though nothing is wrong (no answer in time)":                      {err: errHang, broken: errHang},
		"not accepted, though nothing is wrong (the peer does not speak the protocol)":   {err: errWords, broken: errWords},
		"not accepted, though nothing is wrong (it ended the connection without a word)": {err: errEnd, broken: errEnd},
	} {
		if r := judge(Result{}, right, p, ServerRole); r.Reason != want {
			t.Errorf("%q, not %q", r.Reason, want)
		}
	}
	p := &Prober{Config: Config{Role: ServerRole}}
	const want = `the server refuses it: "535 no"; check --user and the password`
	if got := p.explained(&Result{Reason: refusedRight, Words: "535 no"}); got != want {
		t.Errorf("%q, not %q", got, want)
	}
	if n := Unanswered([]Result{{Verdict: NonStrict, Reason: unanswered}, {Verdict: NonStrict}}); n != 1 {
		t.Errorf("%d not answered, not 1", n)
	}
}
