package scram

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
)

// Limits in bytes.
const (
	MaxName    = 255 // of a username, before and after Prepare
	maxMessage = 8192
	maxNonce   = 256 // of the client's part
	maxSalt    = 1024
)

// parseFirst parses client-first (RFC 5802 §7) into s. It returns the gs2 flag and, for the flag p, the
// binding type. It sets the username even if the rest is malformed, for the log.
func (s *Server) parseFirst(message []byte) (flag, binding string, ok bool) {
	m := text(message)
	gs2, rest, _ := strings.Cut(m, ",")
	authzid, bare, _ := strings.Cut(rest, ",")
	v, ok := values(bare, "nr")
	s.username, s.nonce, s.auth = prepareName(v[0]), v[1], bare
	s.channel = []byte(m[:len(m)-len(bare)])
	if authzid != "" {
		name, isAuthzid := strings.CutPrefix(authzid, "a=")
		ok = ok && isAuthzid && prepareName(name) == s.username
	}
	flag, binding, typed := strings.Cut(gs2, "=")
	ok = ok && typed == (flag == "p") && (typed || flag == "n" || flag == "y")
	return flag, binding, ok && s.username != "" && isNonce(s.nonce) && len(s.nonce) <= maxNonce
}

func parseServerFirst(message []byte) (nonce string, salt []byte, iterations string, ok bool) {
	v, ok := values(text(message), "rsi")
	salt = decode(v[1])
	return v[0], salt, v[2], ok && isNonce(v[0]) && salt != nil && len(salt) <= maxSalt
}

func parseClientFinal(message []byte) (withoutProof, nonce string, channel, proof []byte, ok bool) {
	s := text(message)
	i := max(strings.LastIndex(s, ",p="), 0) // the last attribute, and base64 has no comma
	v, ok := values(s[:i], "cr")
	channel, proof = decode(v[0]), decode(strings.TrimPrefix(s[i:], ",p="))
	return s[:i], v[1], channel, proof, ok && channel != nil && isNonce(v[1]) && len(proof) == 32
}

// values returns the values of the attributes that s must begin with, in the order of names (RFC 5802
// §5.1). Only optional extensions may follow, each once. The names of other attributes are no
// extensions, and neither is m, the mandatory extension.
func values(s, names string) (v [3]string, ok bool) {
	known, n := "anmrcsipve", 0
	for attribute := range strings.SplitSeq(s, ",") {
		if len(attribute) < 3 || attribute[1] != '=' {
			return v, false
		}
		name := attribute[:1]
		switch {
		case name < "A" || "Z" < name && name < "a" || "z" < name:
			return v, false
		case n < len(names) && names[n:n+1] == name:
			v[n] = attribute[2:]
			n++
		case n < len(names) || strings.Contains(known, name):
			return v, false
		default:
			known += name
		}
	}
	return v, n == len(names)
}

// text returns the message as a string. It returns "", which no parser accepts, if the message is too
// long, not UTF-8, or contains a control character.
func text(message []byte) string {
	s := string(message[:min(len(message), maxMessage+1)])
	if len(s) > maxMessage || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return s
}

func isNonce(s string) bool { return isPlain(s) && !strings.Contains(s, " ") }

// isPlain reports whether s is printable ASCII, which SASLprep does not change.
func isPlain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// Prepare applies SASLprep to a name or password as a stored string (RFC 4013). It fails with
// [ErrPrepare] if s is not UTF-8, contains prohibited characters, characters unassigned in Unicode 3.2
// or a forbidden mix of directions, or if the result is empty.
func Prepare(s string) (string, error) {
	if isPlain(s) {
		return s, nil
	}
	// Normalization turns some unassigned characters into assigned ones, so the check comes first.
	unassigned := strings.ContainsFunc(s, stringprep.TableA1.Contains)
	prepared, err := stringprep.SASLprep.Prepare(s)
	if err != nil || unassigned || prepared == "" || !utf8.ValidString(s) {
		return "", ErrPrepare
	}
	return prepared, nil
}

// prepareName decodes and prepares a saslname, in which only 2C and 3D may follow "=". It returns "" on
// an error. The length is checked before the preparation as well, which turns U+FDFA into 18 characters:
// 6 KiB of it would take 36 ms.
func prepareName(s string) string {
	name := strings.ReplaceAll(strings.ReplaceAll(s, "=2C", ","), "=3D", "=")
	if len(name) > MaxName {
		return ""
	}
	name, _ = Prepare(name)
	if len(name) > MaxName || strings.Count(s, "=") != strings.Count(s, "=2C")+strings.Count(s, "=3D") {
		return ""
	}
	return name
}

func encodeName(s string) string { return nameEscapes.Replace(s) }

// nameEscapes is a variable because its tables have 6 KiB.
var nameEscapes = strings.NewReplacer("=", "=3D", ",", "=2C")

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// decode decodes canonical base64. It returns nil if s is empty or not canonical. Strict alone would
// ignore line breaks.
func decode(s string) []byte {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || s == "" || strings.ContainsAny(s, "\r\n") {
		return nil
	}
	return b
}
