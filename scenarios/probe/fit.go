package probe

import (
	"crypto/tls"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/fixtures"
)

// loginOf returns the login of 00-logins that a vector alters: plain, plus, end-point or no-plus.
func loginOf(v *fixtures.Vector) string {
	if words := strings.Fields(v.Name); len(words) > 1 {
		return words[1]
	}
	return strings.TrimPrefix(v.Name, "00-logins/")
}

// maxVersion returns the highest version of TLS at which clients bind with the type of the vector: with TLS 1.3 most
// clients prefer tls-exporter.
func maxVersion(v *fixtures.Vector) uint16 {
	if v.Login.Plus() && v.Login.Binding == "tls-server-end-point" {
		return tls.VersionTLS12
	}
	return 0
}

// fit returns a vector for this peer, or the reason why the peer can't be judged by it.
func (p *Prober) fit(v *fixtures.Vector) (*fixtures.Vector, string) {
	login := loginOf(v)
	if login == "plus" && len(v.Login.Bindings) > 1 && p.works["plus"] != "" && p.works["end-point"] == "" {
		if p.names[strings.Replace(v.Name, " plus", " end-point", 1)] {
			return v, "the same case is played with tls-server-end-point"
		}
		v, login = v.Bound("tls-server-end-point"), "end-point" // most faults do not depend on the type
	}
	fitted, reason := p.fitted(v)
	if reason == "" {
		reason = p.missing(fitted)
	}
	if why := p.works[login]; reason == "" && why != "" {
		reason = "the same login without a fault does not succeed: " + why
	}
	return fitted, reason
}

// fitted gives a vector the mechanism and the account.
func (p *Prober) fitted(v *fixtures.Vector) (*fixtures.Vector, string) {
	name, password, free := v.Account()
	switch {
	case p.Role == ClientRole, p.Target.Dialect == "stdio":
		return v.As(p.mechanism(), "", ""), ""
	case free:
		return v.As(p.mechanism(), p.Account.Name, p.Account.Password), ""
	}
	main := p.Account
	if v.Login.Password == fixtures.Password {
		password = ""
	}
	for _, who := range append([]Account{main}, p.Others...) {
		if who.Name == name && (password == "" || who.Password == password) {
			return v.As(p.mechanism(), who.Name, who.Password), ""
		}
	}
	return v, needsAccount
}

// needsAccount is the reason why cases with special names are skipped.
const needsAccount = "needs a further account of the server: --list names them, --accounts gives them"

// Accounts returns the names of the further accounts that a server under test needs for all cases, as quoted Go
// strings.
func (p *Prober) Accounts() (names []string) {
	for _, v := range p.cases {
		if _, reason := p.fitted(v); reason == needsAccount && !slices.Contains(names, v.Login.Name) {
			names = append(names, v.Login.Name)
		}
	}
	return names
}

// Unneeded returns the names of further accounts that no case at any level needs.
func (p *Prober) Unneeded() (names []string) {
	all, _ := vectors()
	for _, who := range p.Others {
		if !slices.ContainsFunc(all, func(v fixtures.Vector) bool { return v.Login.Known && v.Login.Name == who.Name }) {
			names = append(names, who.Name)
		}
	}
	return names
}

// mechanism returns the mechanism without -PLUS.
func (p *Prober) mechanism() string {
	if p.Mechanism != "" {
		return p.Mechanism
	}
	for _, m := range Hashes {
		if slices.Contains(p.Summary.Offered, m) || slices.Contains(p.Summary.Offered, m+"-PLUS") {
			return m
		}
	}
	return Hashes[0]
}

// facilityNames explains what a vector needs.
var facilityNames = map[string]string{
	"long-messages": "the lines of the protocol are too short",
	"plus":          "needs a server that offers a -PLUS mechanism", "no-plus": "needs a server that offers no -PLUS mechanism",
	"tls-exporter": "needs a connection with tls-exporter (TLS 1.3)", "tls-server-end-point": "needs TLS",
}

// types matches the types of binding in a vector that a server may support.
var types = regexp.MustCompile(`p=tls-(exporter|server-end-point),`)

// missing returns the reason, if known beforehand, why a vector can't be played.
func (p *Prober) missing(v *fixtures.Vector) string {
	l := v.Login
	has := p.facilities()
	for _, need := range v.Needs {
		if facility, ok := facilityNames[need]; ok && !strings.HasPrefix(need, "tls-") && !slices.Contains(has, need) {
			return facility
		}
	}
	switch {
	case p.Role == ServerRole && p.Summary.Offered != nil && !slices.Contains(p.Summary.Offered, l.ServerMechanism):
		return "the server does not offer " + l.ServerMechanism
	case l.Plus() && p.noTLS:
		return "needs TLS"
	case p.Role == ServerRole && l.Plus() && len(l.Bindings) == 0,
		p.Role == ServerRole && v.Found.Reason == "binding-type" && types.MatchString(v.Messages[0].Text):
		return "needs a server that can be made to lack a type of channel binding"
	case p.Role == ClientRole && l.Authzid != "":
		return "needs a client that asks to act as another user"
	case dialects[p.Target.Dialect].nameless && (v.Found.Reason == "unknown-user" || v.Battery == 13 || v.Battery == 14 && v.Found.Stage != "client-final" ||
		strings.HasPrefix(v.Name, "10-attributes/first-empty-name ")):
		return "the protocol does not take the name from the SCRAM messages"
	}
	return ""
}
