package harness

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server/audit"
)

// ErrSecret means that a log holds what it must not.
var ErrSecret = errors.New("a secret is in the log")

// Payload says what the operator wants in the log as it came. There a secret is no leak.
type Payload struct {
	// Sent is --log-payload: arguments, bodies and streams.
	Sent bool
	// Names is --log-names: names of unknown users.
	Names bool
}

// exempts reports whether the operator wants a field of a line in the log.
func (p Payload) exempts(l line, field string) bool {
	if l.str("event") == "log.repair" {
		return field == "data" // CheckLog looks into it
	}
	switch field {
	case "argument", "body", "data":
		return p.Sent
	case "user":
		return p.Names && l.str("event") == "login.fail"
	}
	return false
}

// hashedName is how the name of an unknown user stands in the log.
var hashedName = regexp.MustCompile(`^#[0-9a-f]{12}$`)

// CheckLog checks a whole log: that each line is an event as [Events] has it, that the events of each
// connection come in their order, that the chain holds, and that no secret is in it (ErrSecret): none of a test
// user, none of more, no name of an unknown user, and nothing that looks like a key, a proof or a hash.
func CheckLog(text string, asked Payload, more ...string) error {
	var faults []error
	var values strings.Builder
	last := map[string]string{} // events, by connection
	whole := false              // whether each connection is there from its beginning
	for raw := range strings.Lines(text) {
		l, err := parseLine(raw)
		if err != nil {
			return err
		}
		conn, event := l.str("conn"), l.str("event")
		faults = append(faults, l.wellFormed())
		switch before, known := last[conn]; {
		case event == "server.start":
			whole = true
		case event == "log.drop":
			whole, last = false, map[string]string{}
		case conn != "" && (known || whole):
			faults = append(faults, follows(before, event))
		}
		last[conn] = event
		if event == "login.fail" && l.str("reason") == "unknown-user" && !asked.Names && !hashedName.MatchString(l.str("user")) {
			faults = append(faults, fmt.Errorf("%w: the name %q of an unknown user", ErrSecret, l.str("user")))
		}
		if event == "log.repair" {
			removed, _ := base64.StdEncoding.DecodeString(l.str("data"))
			faults = append(faults, CheckText(string(removed), more...))
		}
		for _, f := range l {
			if f.name != "chain" && f.name != "head" && !asked.exempts(l, f.name) {
				fmt.Fprintln(&values, f.value)
			}
		}
	}
	_, broken := audit.Verify(strings.NewReader(text), "log", "")
	if key := keyLike.FindString(values.String()); key != "" {
		faults = append(faults, fmt.Errorf("%w: %q looks like a key", ErrSecret, key))
	}
	return errors.Join(append(faults, broken, CheckText(values.String(), more...))...)
}

// keyLike matches 32 bytes or more in base64 or hex: every key, proof, signature
// and exporter value of any connection.
var keyLike = regexp.MustCompile(`[A-Za-z0-9+/]{43,}`)

// CheckText checks that neither a secret of a test user nor one of more is in a
// text, in upper or lower case (ErrSecret).
func CheckText(text string, more ...string) error {
	text = strings.ToLower(text)
	for secret, what := range userSecrets() {
		if strings.Contains(text, secret) {
			return fmt.Errorf("%w: %s", ErrSecret, what)
		}
	}
	for _, secret := range more {
		if strings.Contains(text, strings.ToLower(secret)) {
			return fmt.Errorf("%w: %q", ErrSecret, secret)
		}
	}
	return nil
}

// userSecrets are the passwords of the test users and all that is computed from
// them (RFC 5802 §3), in lower case, each with a description.
var userSecrets = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	users := testserver.NewUsers()
	for _, name := range testserver.Names() {
		password := testserver.Password(name)
		v, _, _ := users.Lookup(name)
		salted, err := pbkdf2.Key(sha256.New, password, v.Salt, v.Iterations, sha256.Size)
		if err != nil {
			panic(err)
		}
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte("Client Key"))
		all[strings.ToLower(password)] = name + "'s password"
		for what, secret := range map[string][]byte{
			"password": []byte(password), "SaltedPassword": salted, "ClientKey": mac.Sum(nil),
			"StoredKey": v.StoredKey, "ServerKey": v.ServerKey,
		} {
			maps.Insert(all, maps.All(forms(secret, name+"'s "+what)))
		}
	}
	return all
})

// forms are the encodings of secret bytes.
func forms(secret []byte, what string) map[string]string {
	return map[string]string{
		strings.ToLower(base64.RawStdEncoding.EncodeToString(secret)): what + " in base64",
		strings.ToLower(base64.RawURLEncoding.EncodeToString(secret)): what + " in base64",
		hex.EncodeToString(secret):                                    what + " in hex",
	}
}
