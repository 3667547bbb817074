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

	"github.com/sallyport/sallyport/server/audit"
)

// ErrSecret is that a log holds what it must not.
var ErrSecret = errors.New("a secret is in the log")

// Payload says what an operator has asked to be logged as it came, so that
// whatever a client sends there is no leak. Everything else still is.
type Payload struct {
	Sent  bool // --log-payload: arguments, bodies, streams
	Names bool // --log-names: names of unknown users
}

// exempts says whether a field of a line is what the operator asked for.
func (p Payload) exempts(line Line, field string) bool {
	switch field {
	case "argument", "body", "data":
		return p.Sent
	case "user":
		return p.Names && line.Str("event") == "login.fail"
	}
	return false
}

// CheckLog checks a whole log: that each line is an event as [Events] has it,
// that nothing comes after the end of a connection, that the chain holds, and
// that no secret is in it (ErrSecret): none of the cast's, none of more, and
// nothing that looks like a key, a proof or a hash.
func CheckLog(text string, asked Payload, more ...string) error {
	ended := map[string]bool{}
	var values strings.Builder
	for raw := range strings.Lines(text) {
		line, err := ParseLine(raw)
		if err == nil {
			err = line.wellFormed()
		}
		if err != nil {
			return err
		}
		conn, event := line.Str("conn"), line.Str("event")
		if ended[conn] {
			return fmt.Errorf("%s after the end of its connection", event)
		}
		ended[conn] = conn != "" && (event == "session.close" || event == "conn.close" || event == "conn.refuse")
		for _, f := range line {
			if f.Name != "chain" && f.Name != "head" && !asked.exempts(line, f.Name) {
				fmt.Fprintln(&values, f.Value)
			}
		}
	}
	if _, err := audit.Verify(strings.NewReader(text), "log", ""); err != nil {
		return err
	}
	if key := keyLike.FindString(values.String()); key != "" {
		return fmt.Errorf("%w: %q looks like a key", ErrSecret, key)
	}
	return CheckText(values.String(), more...)
}

// keyLike is what 32 octets or more come to in base64 or hex: every key, proof,
// signature and exporter value of any connection.
var keyLike = regexp.MustCompile(`[A-Za-z0-9+/]{43,}`)

// CheckText checks that none of the cast's secrets is in a text, nor any of
// more, in upper or lower case (ErrSecret).
func CheckText(text string, more ...string) error {
	text = strings.ToLower(text)
	for secret, what := range castSecrets() {
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

// castSecrets are the cast's passwords and all that is made of them (RFC 5802
// §3), in lower case, by what they are.
var castSecrets = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	users := NewUsers()
	for _, name := range Cast() {
		password, v := Password(name), users.Must(name)
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

// forms are the texts that octets come to.
func forms(octets []byte, what string) map[string]string {
	return map[string]string{
		strings.ToLower(base64.RawStdEncoding.EncodeToString(octets)): what + " in base64",
		strings.ToLower(base64.RawURLEncoding.EncodeToString(octets)): what + " in base64",
		hex.EncodeToString(octets):                                    what + " in hex",
	}
}
