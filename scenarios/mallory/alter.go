// Package mallory alters the messages of a login. [Login] alters one part, as a client, as a server, or
// between an honest client and an honest server. All other parts are right for the password, so the altered
// part is the only fault. [Serve] plays the server of such a login, [Relay] passes it on.
package mallory

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol/scram"
)

// Role is the part that Mallory plays.
type Role string

// The roles: a client, a server, or the middle between an honest client and an honest server.
const (
	Client Role = "client"
	Server Role = "server"
	Middle Role = "middle"
)

// sends reports whether Mallory makes a message. In the middle she makes none.
func (r Role) sends(step int) bool {
	return r == Client && step%2 == 0 || r == Server && step%2 == 1
}

// A Change alters one part of a login's messages. [Parts] has the parts, [Changes] the ways. The zero Change
// alters nothing.
type Change struct{ Part, How string }

// Changes are the ways to alter a part. fixtures/README.md explains them, except for truncate (cut=1), extend
// (an A more), none (a binding without data), empty, missing, twice, and is=TEXT, which replaces the part.
const Changes = "truncate extend other none empty missing twice lower cut=N flip=N bytes=N stray is=TEXT"

// maxBytes bounds the length of an altered part.
const maxBytes = 4096

// honest are the attributes of each message of a login.
var honest = [...][]string{
	{"{gs2}n={name}", "r={cnonce}"},
	{"r={cnonce}{snonce}", "s={salt}", "i={i}"},
	{"c={cbind}", "r={cnonce}{snonce}", "p={proof}"},
	{"v={signature}"},
}

// A part is a symbol in one attribute of one message.
type part struct {
	step, attribute int
	// form is the attribute, with %s for the symbol.
	form, symbol string
}

var parts = map[string]part{
	"gs2":          {0, 0, "%sn={name}", "gs2"},
	"name":         {0, 0, "{gs2}n=%s", "name"},
	"client-nonce": {0, 1, "r=%s", "cnonce"},
	"server-nonce": {1, 0, "r=%s{snonce}", "cnonce"}, // the client's part, which the server repeats
	"salt":         {1, 1, "s=%s", "salt"},
	"iterations":   {1, 2, "i=%s", "i"},
	"binding":      {2, 0, "c=%s", "cbind"},
	"nonce":        {2, 1, "r={cnonce}%s", "snonce"},
	"proof":        {2, 2, "p=%s", "proof"},
	"signature":    {3, 0, "v=%s", "signature"},
}

// inBase64 are the symbols whose bytes can be altered.
var inBase64 = []string{"salt", "cbind", "proof", "signature"}

// Parts returns the names of the parts that Mallory can alter in a role.
func Parts(role Role) (names []string) {
	for name, p := range parts {
		if role.sends(p.step) || role == Middle {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Login returns a login whose only fault is the change, for [fixtures.Vector.Play]. Mallory knows the password.
// She accepts all messages of an honest peer, except that a server must send the right signature.
func Login(role Role, who fixtures.Login, c Change) (*fixtures.Vector, error) {
	v := &fixtures.Vector{Login: who}
	if role == Client {
		// Her own nonce, even if she changes it in transit.
		v.Messages[2] = fixtures.Message{Mark: fixtures.Expected, Text: "c={cbind},r={cnonce}{snonce},p={proof}"}
		v.Messages[3] = fixtures.Message{Mark: fixtures.Expected, Text: "v={signature}"}
	}
	if c.Part == "" {
		return v, nil
	}
	if !slices.Contains(Parts(role), c.Part) {
		return nil, fmt.Errorf("there is no %q to change, but %s", c.Part, strings.Join(Parts(role), " "))
	}
	p := parts[c.Part]
	attribute, err := c.attribute(p)
	if err != nil {
		return nil, err
	}
	changed := slices.Replace(slices.Clone(honest[p.step]), p.attribute, p.attribute+1, attribute...)
	mark := fixtures.InTransit
	if role == Client && p.step == 2 { // the proof is right for the altered message
		mark = fixtures.Altered
	}
	v.Messages[p.step] = fixtures.Message{Mark: mark, Text: strings.Join(changed, ",")}
	return v, nil
}

// wholes are the changes of an attribute as a whole, with %s for the symbol.
var wholes = map[string][]string{
	"empty": {""}, "missing": {}, "twice": {"{%s}", "{%s}"}, "truncate": {"{%s cut=1}"}, "extend": {"{%s}A"},
}

// attribute returns the altered attribute of a part: one, none or two.
func (c Change) attribute(p part) (all []string, err error) {
	verb, argument, _ := strings.Cut(c.How, "=")
	values, whole := wholes[c.How]
	switch {
	case whole:
	case verb == "is":
		values = []string{"{hex " + hex.EncodeToString([]byte(argument)) + "}"}
	case c.How == "none" && p.symbol == "cbind": // bound to no connection
		values = []string{"{base64 {gs2}}"}
	case c.How == "other" && p.symbol == "cbind": // bound to another connection
		values = []string{"{base64 {gs2}{data other}}"}
	case c.fits(p, verb, argument):
		values = []string{"{%s " + c.How + "}"}
	default:
		return nil, fmt.Errorf("%s can't be changed by %q; the changes are %s", c.Part, c.How, Changes)
	}
	for _, value := range values {
		all = append(all, fmt.Sprintf(p.form, strings.ReplaceAll(value, "%s", p.symbol)))
	}
	return all, nil
}

// fits reports whether package fixtures can alter the part in this way.
func (c Change) fits(p part, verb, argument string) bool {
	switch verb {
	case "flip", "bytes", "cut":
		n, err := strconv.Atoi(argument)
		return err == nil && n >= 0 && n <= maxBytes && (verb == "cut" || slices.Contains(inBase64, p.symbol))
	case "stray":
		return c.How == verb && slices.Contains(inBase64, p.symbol)
	}
	return c.How == "other" || c.How == "lower"
}

// Bindings returns the channel bindings of a connection by type. The certificate is the server's.
func Bindings(conn *tls.Conn, certificate *x509.Certificate) map[string][]byte {
	state, all := conn.ConnectionState(), map[string][]byte{}
	if b, err := scram.TLSExporter(state.ExportKeyingMaterial); err == nil {
		all[b.Type] = b.Data
	}
	if b, err := scram.TLSServerEndPoint(certificate); err == nil {
		all[b.Type] = b.Data
	}
	return all
}
