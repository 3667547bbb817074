package probe

import (
	"errors"
	"net"
	"slices"
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
		strings.Repeat("x", 1<<17):       `too long`,
	} {
		if _, err := ReadAccepted(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	for _, name := range []string{"03-nonce/otter", "03-nonce/other minus", "must RFC 5802 §55"} {
		known := accepted(t, "# a\n"+name+": reason")
		known.Name = "known"
		_, err := New(Config{Role: ServerRole, Target: Target{Dialect: "stdio"}, Command: []string{"true"}, Accepted: known})
		if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), `known: line 2: "`+name+`" is neither`) {
			t.Error(err)
		}
	}
}

func accepted(t *testing.T, text string) *Accepted {
	t.Helper()
	known, err := ReadAccepted(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return known
}

// flipped are failed logins of one case.
func flipped() (all []Result) {
	for _, login := range []string{"plus 16", "plus 17", "plus 19", "plain 16", "plain 17"} {
		all = append(all, Result{Name: "16-proof/flipped " + login, Rule: "must", Section: "RFC 5802 §3", Verdict: Fail})
	}
	return all
}

// A line names logins of a case, the case, or its rule.
func TestAccepted(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]int{
		"16-proof/flipped": 5, "16-proof/flipped plain": 2, "16-proof/flipped plain 16": 1, "16-proof/zeros": 0,
		"16-proof/flipped plus 16..17, plain 16 (SCRAM-SHA-256-PLUS, SCRAM-SHA-256)": 3,
		"must RFC 5802 §3": 5, "grammar RFC 5802 §3": 0,
	} {
		known, n := accepted(t, line+": a reason"), 0
		for _, r := range flipped() {
			if r = known.mark(r); r.Known == "a reason" && !r.Failed() {
				n++
			}
		}
		if n != want || len(known.unused()) > 0 {
			t.Errorf("%s: %d known, not %d; unused: %q", line, n, want, known.unused())
		}
	}
	two := accepted(t, "16-proof/flipped: first\n16-proof/flipped plain: second") // while the case deviates, neither is out of date
	if r := two.mark(flipped()[3]); r.Known != "first" || len(two.unused()) > 0 {
		t.Errorf("%q, unused: %q", r.Known, two.unused())
	}
	old := accepted(t, "16-proof/flipped plain: mended\n16-proof/zeros: not played")
	old.mark(Result{Name: "16-proof/flipped plain 16", Verdict: Pass})
	if got := old.unused(); !slices.Equal(got, []string{"16-proof/flipped plain"}) {
		t.Errorf("unused: %q", got)
	}
}

// Logins of a case with the same verdict become one row, with the shorter messages.
func TestFold(t *testing.T) {
	t.Parallel()
	all := flipped()
	all[3].Verdict = Pass
	for i := range all {
		all[i].Mechanism = "SCRAM-SHA-1" + map[bool]string{true: "-PLUS"}[i < 3]
	}
	var got []string
	for _, f := range Fold(append(all, Result{Name: "16-proof/zeros plain", Verdict: Fail})) {
		got = append(got, string(f.Verdict)+" "+f.Names()+", shown: "+f.Login())
	}
	want := []string{
		"fail 16-proof/flipped plus 16..17, plus 19, plain 17, shown: plain 17", "pass 16-proof/flipped plain 16, shown: plain 16",
		"fail 16-proof/zeros plain, shown: plain",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// Only the altered part is marked. The proof is not part of it, because it depends on the rest of the message.
func TestParts(t *testing.T) {
	t.Parallel()
	for m, want := range map[Message][3]string{
		{Text: "c=a,r=b,m=x,p=1", Own: "c=a,r=b,p=2"}: {"c=a,r=b", ",m=x", ",p=1"},
		{Text: "c=a,r=b,p=21", Own: "c=a,r=b,p=31"}:   {"c=a,r=b,p=", "2", "1"},
		{Text: "c=a,r=b", Own: "c=a,r=b,p=31"}:        {"c=a,r=b", "", ""},
		{Text: "hello"}:                               {"", "hello", ""},
	} {
		if got := m.Parts(); got != want {
			t.Errorf("%q: %q", m.Text, got)
		}
	}
}

// A refusal of the user's own name as authzid is not a breach of the RFC.
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
	for _, v := range p.cases {
		if _, _, free := v.Account(); !free && strings.HasPrefix(v.Name, "12-authzid/other ") {
			t.Errorf("%s needs an account of a certain name", v.Name)
		}
	}
}

// A refusal to test another machine repeats no word, and the rules fit the faults.
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

// A server may repeat the name that the client has sent.
func TestDiffers(t *testing.T) {
	t.Parallel()
	known := []challenged{{name: "alice", salt: "QQ==", words: `no: "alice"`}}
	for words, want := range map[string]string{`no: "bob"`: "", `no user "bob"`: "the words differ"} {
		one := challenged{name: "bob", salt: "Qg==", words: words}
		if got := differs(known, []challenged{one, one}); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%q: %q", words, got)
		}
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

// PostgreSQL's protocol takes the name from another message, and names its type of channel binding.
func TestPostgresRules(t *testing.T) {
	t.Parallel()
	all, err := vectors()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(v fixtures.Vector) bool { return v.Name == "10-attributes/first-empty-name plain" })
	wrong := slices.IndexFunc(all, func(v fixtures.Vector) bool { return v.Name == "01-unknown-user/wrong-password plain" })
	for dialect, want := range map[string][2]string{"postgres": {"policy", "the protocol does not take the name from the SCRAM messages"}, "xmpp": {"must", ""}} {
		p := &Prober{Config: Config{Role: ServerRole, Target: Target{Dialect: dialect}}}
		if reason := p.missing(&all[i]); reason != want[1] {
			t.Errorf("%s, an empty name: skipped because %q", dialect, reason)
		}
		if reason := p.missing(&all[wrong]); reason != "" {
			t.Errorf("%s, a wrong password: skipped because %q", dialect, reason)
		}
		for _, c := range p.everyCheck() {
			if c.Name == "checks/binding TLS 1.3 tls-exporter" && c.Rule != want[0] {
				t.Errorf("%s: tls-exporter is a %s", dialect, c.Rule)
			}
		}
	}
}

// A server chooses its iterations, so the cases about them judge clients only.
func TestIterationsJudgeClients(t *testing.T) {
	t.Parallel()
	for role, want := range map[Role]bool{ServerRole: false, ClientRole: true} {
		p, err := New(Config{Role: role, Target: Target{Dialect: "stdio"}, Command: []string{"true"}, Level: "all"})
		if err != nil {
			t.Fatal(err)
		}
		if p.names["22-iterations/more plain"] != want {
			t.Errorf("%s: 22-iterations/more is a case: %v", role, !want)
		}
	}
}

// The reasons for skips name their cases once, without the logins.
func TestSkips(t *testing.T) {
	t.Parallel()
	got := Skips([]Result{{Name: "a plain", Verdict: Skip, Reason: "x"}, {Name: "a plus", Verdict: Skip, Reason: "x"}, {Name: "b", Reason: "x"}})
	if len(got) != 1 || got[0].Count != 2 || !slices.Equal(got[0].Names, []string{"a"}) {
		t.Error(got)
	}
}

// The page of a run that did not reach the peer makes no claim about it.
func TestPageOfNothing(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	if err := HTML(&page, &Summary{Role: ServerRole, Err: ErrNotReached}, nil); err != nil {
		t.Fatal(err)
	}
	for _, claim := range []string{"No TLS", "By rule"} {
		if strings.Contains(page.String(), claim) {
			t.Errorf("the page says %q", claim)
		}
	}
}
