package mallory

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol/scram"
)

// This file is RFC 5802 §3 in a few lines, apart from the code under test.

// keys are what passwords become, computed once each. Safe for concurrent use.
type keys struct {
	mu     sync.Mutex
	salted map[string][]byte
	client scram.KeyCache // the honest client's
}

func newKeys() *keys { return &keys{salted: map[string][]byte{}} }

func (k *keys) of(password, salt string, iterations int) (clientKey, storedKey, serverKey []byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := fmt.Sprintf("%q %q %d", password, salt, iterations)
	salted := k.salted[id]
	if salted == nil {
		if salted, err = pbkdf2.Key(sha256.New, password, []byte(salt), iterations, sha256.Size); err != nil {
			return nil, nil, nil, err
		}
		k.salted[id] = salted
	}
	clientKey = mac(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	return clientKey, stored[:], mac(salted, "Server Key"), nil
}

// Verifier is what the server stores of the user.
func (s *Script) Verifier() (scram.Verifier, error) {
	_, storedKey, serverKey, err := s.keys.of(s.Setting.Stored, s.Setting.Salt, s.Setting.Iterations)
	return scram.Verifier{
		Iterations: s.Setting.Iterations, Salt: []byte(s.Setting.Salt), StoredKey: storedKey, ServerKey: serverKey,
	}, err
}

// sign makes ClientProof and ServerSignature over client-first, server-first and a
// client-final without proof.
func (s *Script) sign(first, serverFirst, withoutProof string) (proof, signature string, err error) {
	salt, errSalt := base64.StdEncoding.DecodeString(attribute(serverFirst, "s="))
	iterations, errIterations := strconv.Atoi(attribute(serverFirst, "i="))
	if errSalt != nil || errIterations != nil {
		return "", "", fmt.Errorf("%w: nobody could sign %.200q", fixtures.ErrSymbol, serverFirst)
	}
	clientKey, storedKey, serverKey, err := s.keys.of(s.Setting.Stored, string(salt), iterations)
	if err != nil {
		return "", "", err
	}
	_, bare := cutFirst(first)
	auth := bare + "," + serverFirst + "," + withoutProof
	subtle.XORBytes(clientKey, clientKey, mac(storedKey, auth))
	return encode(clientKey), encode(mac(serverKey, auth)), nil
}

// unproved is client-final without its proof: what stands in front of it, or
// behind if nothing does.
func unproved(known fixtures.Symbols, line string) (string, error) {
	i := strings.Index(line, "{proof")
	if head := strings.TrimSuffix(line[:max(0, i-2)], ","); head != "" {
		return known.Render(head)
	}
	_, behind, _ := strings.Cut(line[i:], "},")
	return known.Render(behind)
}

// cutFirst parts client-first behind its gs2 header, which has two commas.
func cutFirst(message string) (gs2, bare string) {
	parts := strings.SplitN(message, ",", 3)
	bare = parts[len(parts)-1]
	return strings.TrimSuffix(message, bare), bare
}

func attribute(message, name string) string {
	for part := range strings.SplitSeq(message, ",") {
		if value, found := strings.CutPrefix(part, name); found {
			return value
		}
	}
	return ""
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func encode(octets []byte) string { return base64.StdEncoding.EncodeToString(octets) }
