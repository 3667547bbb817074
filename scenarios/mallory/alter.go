// Package mallory alters the messages of a login. [Login] alters one part, as a client, as a server, or
// between two honest ends, and makes the rest as somebody does who knows the password, so that nothing
// else is wrong. [Serve] plays the server of such a login, [Relay] passes it on between two ends.
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

// The roles: a client, a server, or both, to an honest server and an honest client.
const (
	Client Role = "client"
	Server Role = "server"
	Middle Role = "middle"
)

// sends reports whether a message is Mallory's to make. In the middle she makes none.
func (r Role) sends(step int) bool {
	return r == Client && step%2 == 0 || r == Server && step%2 == 1
}

// A Change is an alteration of one part of a login's messages. [Parts] has the parts, [Changes] the
// alterations. The zero Change alters nothing.
type Change struct{ Part, How string }

// Changes are the alterations: those of fixtures/README.md, and some that are short for others or alter the
// attribute as a whole.
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
	form            string // the attribute, with %s for the symbol
	symbol          string
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

// Login returns a login in which nothing is wrong except the change, for [fixtures.Vector.Play]. As a client
// or a server Mallory knows the password. She takes the other side's messages as they come, but demands the
// server's signature.
func Login(role Role, who fixtures.Login, c Change) (*fixtures.Vector, error) {
	v := &fixtures.Vector{Login: who}
	if role == Client {
		// Her own nonce, also where she has changed it on its way.
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

// attribute returns the altered attribute of a part, which may be none or two.
func (c Change) attribute(p part) (all []string, err error) {
	as := func(value string) []string { return []string{fmt.Sprintf(p.form, value)} }
	verb, argument, _ := strings.Cut(c.How, "=")
	switch {
	case verb == "is":
		return as("{hex " + hex.EncodeToString([]byte(argument)) + "}"), nil
	case c.How == "empty":
		return as(""), nil
	case c.How == "missing":
		return nil, nil
	case c.How == "twice":
		return append(as("{"+p.symbol+"}"), as("{"+p.symbol+"}")...), nil
	case c.How == "truncate":
		return as("{" + p.symbol + " cut=1}"), nil
	case c.How == "extend":
		return as("{" + p.symbol + "}A"), nil
	case c.How == "none" && p.symbol == "cbind": // bound to no connection
		return as("{base64 {gs2}}"), nil
	case c.How == "other" && p.symbol == "cbind": // bound to another connection
		return as("{base64 {gs2}{data other}}"), nil
	case c.fits(p, verb, argument):
		return as("{" + p.symbol + " " + c.How + "}"), nil
	}
	return nil, fmt.Errorf("%s can't be changed by %q; the changes are %s", c.Part, c.How, Changes)
}

// fits reports whether package fixtures can alter the part so.
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

// Bindings returns the channel bindings of a connection, by their types. The certificate is the server's.
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
