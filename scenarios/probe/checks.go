package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/fixtures"
)

// A check is a case that needs several logins, so it is not a vector.
type check struct {
	Result
	run func(context.Context, Result) Result
}

// checks returns the checks that the configuration selects for a server on a network.
func (p *Prober) checks() (all []check) {
	if p.Role == ClientRole || p.Target.Dialect == "stdio" {
		return nil
	}
	for _, c := range p.everyCheck() {
		if p.includes(c.Rule) && (p.Only == nil || p.Only.MatchString(c.Name)) {
			all = append(all, c)
		}
	}
	return all
}

func (p *Prober) everyCheck() (all []check) {
	add := func(name, rule, section, about, expected string, run func(context.Context, Result) Result) {
		r := Result{Name: "checks/" + name, Rule: rule, Section: section, About: about, Expected: expected}
		r.Demand = demand(&r)
		all = append(all, check{r, run})
	}
	add("replay", "must", "RFC 5802 §5.1", "a recorded login on a new connection", "the server refuses client-final", p.replay)
	add("unknown-user", "policy", "RFC 5802 §9", "a name without an account, several times, and wrong proofs for one with an account",
		"the challenges of both are alike, and the salt is the same each time", p.unknownUser)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		on := tls.VersionName(version)
		add("binding "+on, "should", "RFC 5802 §6", "right logins on "+on+", with each type of channel binding",
			"a server that offers PLUS accepts one type at least", func(ctx context.Context, r Result) Result { return p.anyBinding(ctx, r, version) })
		for _, binding := range bindingTypes(version) {
			rule, section := "policy", bindingSections[binding]
			if binding == "tls-exporter" && version == tls.VersionTLS13 {
				if section = "RFC 9266 §3"; !dialects[p.Target.Dialect].ownBinding {
					rule = "must"
				}
			}
			add("binding "+on+" "+binding, rule, section, "a right login on "+on+" with "+binding,
				"a server that offers PLUS accepts it", func(ctx context.Context, r Result) Result { return p.binding(ctx, r, version, binding) })
		}
	}
	add("certificate", "policy", "RFC 5280 §4.1.2.5", "the end of the server's certificate", "the certificate is valid for a week more", p.certificate)
	return all
}

// bindingSections are the definitions of the types of channel binding.
var bindingSections = map[string]string{
	"tls-unique": "RFC 5929 §3", "tls-server-end-point": "RFC 5929 §4", "tls-exporter": "RFC 9266 §2",
}

func bindingTypes(version uint16) []string {
	if version == tls.VersionTLS13 {
		return []string{"tls-exporter", "tls-server-end-point"}
	}
	return []string{"tls-unique", "tls-exporter", "tls-server-end-point"}
}

// sound returns a login that succeeds, if possible without a binding.
func (p *Prober) sound() *fixtures.Vector {
	for _, key := range []string{"plain", "no-plus", "plus", "end-point"} {
		for _, v := range p.controls {
			if why, tried := p.works[key]; tried && why == "" && loginOf(v) == key {
				fitted, _ := p.fitted(v)
				return fitted
			}
		}
	}
	return nil
}

// replay logs in, and then sends the same messages again.
func (p *Prober) replay(ctx context.Context, r Result) Result {
	v := p.sound()
	got, err := p.play(ctx, v)
	if err != nil || got.outcome.Stage != fixtures.Done || len(got.transcript) < 4 {
		return r.skip("the login to record does not succeed")
	}
	var sent []string
	for _, m := range got.transcript {
		if m.From == "client" {
			sent = append(sent, m.Text)
		}
	}
	again := *v
	again.Found = fixtures.Outcome{By: "server", Stage: "client-final"}
	// The nonce of the prober is always the same, so the first message is as well.
	again.Messages[2] = fixtures.Message{Mark: fixtures.InTransit, Text: "{hex " + fmt.Sprintf("%x", sent[1]) + "}"}
	r.Mechanism = v.Login.ServerMechanism
	return p.judged(ctx, &again, r)
}

// challenged has the server's answers about a user before any proof.
type challenged struct {
	name, salt, iterations, words string
	took                          time.Duration
	transcript                    []Message
}

// challenge asks for a challenge, and answers with a wrong proof.
func (p *Prober) challenge(ctx context.Context, name string) (c challenged, err error) {
	v := *p.sound()
	v.Login.User, v.Login.Name, v.Login.Known = name, name, name == p.Account.Name
	v.Found = fixtures.Outcome{By: "server", Stage: "client-final"}
	v.Messages[2] = fixtures.Message{Mark: fixtures.Altered, Text: "c={cbind},r={nonce},p={proof flip=0}"}
	began := time.Now()
	got, err := p.play(ctx, &v)
	if err != nil {
		return c, err
	}
	c.name, c.words, c.took, c.transcript = name, got.words, time.Since(began), got.transcript
	for _, m := range got.transcript {
		if m.From == "server" && c.salt == "" {
			c.salt, c.iterations = attribute(m.Text, "s="), attribute(m.Text, "i=")
		}
	}
	return c, nil
}

func attribute(message, name string) string {
	for part := range strings.SplitSeq(message, ",") {
		if value, found := strings.CutPrefix(part, name); found {
			return value
		}
	}
	return ""
}

// pairs is the number of logins of each kind that are timed.
const pairs = 3

// unknownUser compares the challenges for a known and an unknown name.
func (p *Prober) unknownUser(ctx context.Context, r Result) Result {
	name := "nobody-" + strconv.FormatInt(p.Summary.Start.UnixNano()%1e9, 36)
	var known, unknown []challenged
	for range pairs {
		for _, one := range []struct {
			name string
			all  *[]challenged
		}{{p.Account.Name, &known}, {name, &unknown}} {
			c, err := p.challenge(ctx, one.name)
			if err != nil {
				return r.skip("no login begins: " + plainly(err))
			}
			*one.all = append(*one.all, c)
		}
	}
	r.Verdict, r.Stage, r.Words, r.Reason = Pass, "server-first", unknown[0].words, "an unknown name gets a challenge like any other"
	r.Transcript = unknown[0].transcript
	if why := differs(known, unknown); why != "" {
		r.Verdict, r.Reason = offence(r.Rule), why
	}
	return r
}

// differs returns how the challenges for an unknown and a known name differ, or "".
func differs(known, unknown []challenged) string {
	k, u := known[0], unknown[0]
	slow, fast := median(known), median(unknown)
	if slow < fast {
		slow, fast = fast, slow
	}
	switch {
	case u.salt == "":
		return "an unknown name gets no challenge, so anybody can ask who exists"
	case u.salt != unknown[1].salt:
		return "an unknown name gets another salt each time, so anybody can ask who exists"
	case u.iterations != k.iterations || len(u.salt) != len(k.salt):
		return fmt.Sprintf("the challenge of an unknown name has %s iterations and %d characters of salt, that of a known one %s and %d",
			u.iterations, len(u.salt), k.iterations, len(k.salt))
	case strings.ReplaceAll(u.words, u.name, "") != strings.ReplaceAll(k.words, k.name, ""):
		return fmt.Sprintf("the words differ: %.100q for an unknown name, %.100q for a wrong proof", u.words, k.words)
	case slow > 3*fast && slow-fast > 5*time.Millisecond:
		return fmt.Sprintf("the time differs: %v for the slower, %v for the faster (median of %d; only a note)", slow.Round(time.Millisecond), fast.Round(time.Millisecond), pairs)
	}
	return ""
}

func median(all []challenged) time.Duration {
	var times []time.Duration
	for _, c := range all {
		times = append(times, c.took)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// anyBinding logs in with each type of binding until one succeeds.
func (p *Prober) anyBinding(ctx context.Context, r Result, version uint16) Result {
	last := r.skip("the connection has no binding")
	for _, binding := range bindingTypes(version) {
		one := p.binding(ctx, r, version, binding)
		if one.Verdict == Pass {
			one.Reason = "binds with " + binding
			return one
		}
		if one.Verdict != Skip || last.Verdict == Skip {
			last = one
		}
	}
	return last
}

// binding logs in with one type of binding on one version of TLS.
func (p *Prober) binding(ctx context.Context, r Result, version uint16, binding string) Result {
	v := *p.controls[slices.IndexFunc(p.controls, func(v *fixtures.Vector) bool { return loginOf(v) == "plus" })]
	fitted, _ := p.fitted(v.Bound(binding))
	r.Mechanism = fitted.Login.ServerMechanism
	if !slices.Contains(p.Summary.Offered, r.Mechanism) {
		return r.skip("the server does not offer " + r.Mechanism)
	}
	got, err := p.playServer(ctx, fitted, version)
	if err != nil {
		return r.skip(plainly(err))
	}
	if _, missing := errors.AsType[fixtures.Skipped](got.err); missing {
		return r.skip("this connection has no " + binding)
	}
	if got.version != version {
		return r.skip("the server does not speak " + tls.VersionName(version))
	}
	fitted.Rule = r.Rule
	return judge(r, fitted, got, ServerRole)
}

// certificate warns if a certificate ends soon. The connection has verified it already.
func (p *Prober) certificate(ctx context.Context, r Result) Result {
	ctx, cancel := context.WithTimeout(ctx, 4*p.Timeout)
	defer cancel()
	l, caller, _, err := p.call(ctx, p.sound(), 0)
	if err != nil {
		return r.skip(plainly(err))
	}
	defer l.Close()
	caller.Leave()
	state := l.TLS()
	if state == nil {
		return r.skip("needs TLS")
	}
	left := time.Until(state.PeerCertificates[0].NotAfter)
	r.Verdict, r.Stage = Pass, fixtures.Done
	r.Reason = fmt.Sprintf("valid for %d days more", int(left.Hours()/24))
	if left < 7*24*time.Hour {
		r.Verdict = offence(r.Rule)
	}
	return r
}
