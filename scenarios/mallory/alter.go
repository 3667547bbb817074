// Package mallory is what the attacker of the scenarios does to the messages of a login: [Login] alters
// one part of them, as a client, as a server, or in the middle between two honest ends, and signs the
// rest as one who knows the password.
package mallory

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/fixtures"
)

// A Change is what Mallory does to one part of a login's messages; [Parts] lists
// those, [Changes] how. Zero changes nothing.
type Change struct{ Part, How string }

// Changes are the ways to change a part: those of fixtures/README.md, and some that
// stand for others or work on the attribute as a whole.
const Changes = "truncate extend other none empty missing twice lower cut=N flip=N bytes=N stray is=TEXT"

// maxBytes bounds what a change can make of a part.
const maxBytes = 4096

// honestParts are the messages of a login in which nothing is wrong, attribute by
// attribute.
var honestParts = [...][]string{
	{"{gs2}n={name}", "r={cnonce}"},
	{"r={cnonce}{snonce}", "s={salt}", "i={i}"},
	{"c={cbind}", "r={cnonce}{snonce}", "p={proof}"},
	{"v={signature}"},
}

// A part is a symbol in one attribute of one message; form is that attribute, with
// %s for the symbol.
type part struct {
	step, attribute int
	form, symbol    string
}

var parts = map[string]part{
	"gs2":          {0, 0, "%sn={name}", "gs2"},
	"name":         {0, 0, "{gs2}n=%s", "name"},
	"client-nonce": {0, 1, "r=%s", "cnonce"},
	"server-nonce": {1, 0, "r=%s{snonce}", "cnonce"}, // which it has to repeat
	"salt":         {1, 1, "s=%s", "salt"},
	"iterations":   {1, 2, "i=%s", "i"},
	"binding":      {2, 0, "c=%s", "cbind"},
	"nonce":        {2, 1, "r={cnonce}%s", "snonce"},
	"proof":        {2, 2, "p=%s", "proof"},
	"signature":    {3, 0, "v=%s", "signature"},
}

// inBase64 are the symbols of which octets can be changed.
var inBase64 = []string{"salt", "cbind", "proof", "signature"}

// Parts are the names of what she can change as a client, as a server, or between
// the two.
func Parts(role Role) (names []string) {
	for name, p := range parts {
		if role.speaks(p.step) || role == Middle {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// speaks reports whether a message is hers to make; in the middle she makes none.
func (r Role) speaks(step int) bool {
	return r == Client && step%2 == 0 || r == Server && step%2 == 1
}

// Login is a login with nothing wrong in it but the change, for [fixtures.Vector.Play]. As a client or
// a server Mallory knows the password. What the other end sends she takes as it comes, but for the
// proof that the server knows the password, too.
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
	changed := slices.Replace(slices.Clone(honestParts[p.step]), p.attribute, p.attribute+1, attribute...)
	mark := fixtures.InTransit
	if role == Client && p.step == 2 { // the proof is right, whatever else is not
		mark = fixtures.Altered
	}
	v.Messages[p.step] = fixtures.Message{Mark: mark, Text: strings.Join(changed, ",")}
	return v, nil
}

// attribute is what the change makes of the attribute in which the part stands.
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
	case c.How == "other" && p.symbol == "cbind": // the data of another connection
		return as("{base64 {gs2}{data other}}"), nil
	case c.fits(p, verb, argument):
		return as("{" + p.symbol + " " + c.How + "}"), nil
	}
	return nil, fmt.Errorf("%s can't be changed by %q; the changes are %s", c.Part, c.How, Changes)
}

// fits reports whether fixtures knows the change, and can do it to what the symbol
// stands for.
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
