package scram

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Verifier is stored by a server in place of a password (RFC 5802 §3). It is a secret: a thief can guess
// the password offline with it, and impersonate the server. String returns the stored form, so never
// print a Verifier or a struct that contains one.
type Verifier struct {
	// Iterations is MinIterations to MaxIterations.
	Iterations int
	// Salt has 1 to 1,024 bytes.
	Salt []byte
	// StoredKey and ServerKey have 32 bytes each.
	StoredKey, ServerKey []byte
}

// NewVerifier prepares a password and derives its verifier. A nil salt means 16 random bytes, zero
// iterations mean [DefaultIterations]. It fails with [ErrPrepare] or [ErrVerifier].
func NewVerifier(password string, salt []byte, iterations int) (Verifier, error) {
	prepared, err := Prepare(password)
	if err != nil {
		return Verifier{}, err
	}
	if salt == nil {
		salt = make([]byte, 16)
		rand.Read(salt)
	}
	v := Verifier{Iterations: cmp.Or(iterations, DefaultIterations), Salt: slices.Clone(salt)}
	if !v.inBounds() {
		return Verifier{}, fmt.Errorf("%w: %d iterations, %d bytes of salt", ErrVerifier, v.Iterations, len(salt))
	}
	keys, err := derive(context.Background(), prepared, salt, v.Iterations)
	v.StoredKey, v.ServerKey = keys.storedKey, keys.serverKey
	return v, err
}

// ParseVerifier parses exactly the form of [Verifier.String]. It fails with [ErrVerifier].
func ParseVerifier(s string) (v Verifier, err error) {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == '$' || r == ':' })
	if len(s) > maxMessage || len(parts) != 5 {
		return Verifier{}, ErrVerifier
	}
	v.Iterations, _ = strconv.Atoi(parts[1])
	v.Salt, v.StoredKey, v.ServerKey = decode(parts[2]), decode(parts[3]), decode(parts[4])
	if !v.valid() || v.String() != s {
		return Verifier{}, ErrVerifier
	}
	return v, nil
}

// String returns the stored form, which is as secret as v (RFC 5803, and PostgreSQL's form):
// SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, in canonical base64.
func (v Verifier) String() string {
	return SHA256 + "$" + strconv.Itoa(v.Iterations) + ":" + encode(v.Salt) +
		"$" + encode(v.StoredKey) + ":" + encode(v.ServerKey)
}

// Equal compares in constant time.
func (v Verifier) Equal(w Verifier) bool {
	return v.Iterations == w.Iterations && subtle.ConstantTimeCompare(v.Salt, w.Salt)&
		subtle.ConstantTimeCompare(v.StoredKey, w.StoredKey)&
		subtle.ConstantTimeCompare(v.ServerKey, w.ServerKey) == 1
}

func (v Verifier) inBounds() bool {
	return v.Iterations >= MinIterations && v.Iterations <= MaxIterations && len(v.Salt) > 0 && len(v.Salt) <= maxSalt
}

func (v Verifier) valid() bool {
	return v.inBounds() && len(v.StoredKey) == sha256.Size && len(v.ServerKey) == sha256.Size
}

// Mock makes challenges for unknown names, so that a challenge doesn't reveal which users exist (RFC
// 5802 §9). It is safe for concurrent use.
type Mock struct {
	secret []byte
	shapes [][2]int // iterations and salt length of each user's challenge, sorted
}

// NewMock makes a Mock whose challenges look like the stored ones: they have the users' iterations and
// salt lengths with the users' frequencies, or [DefaultIterations] and 16 bytes without users. Store the
// secret (32 random bytes; empty means a new one): if it changed, only the challenges of unknown names
// would change, which reveals them.
func NewMock(secret []byte, stored []Verifier) *Mock {
	m := &Mock{secret: slices.Clone(secret)}
	if len(secret) == 0 {
		m.secret = []byte(rand.Text())
	}
	for _, v := range stored {
		m.shapes = append(m.shapes, [2]int{v.Iterations, len(v.Salt)})
	}
	if len(stored) == 0 {
		m.shapes = [][2]int{{DefaultIterations, 16}}
	}
	slices.SortFunc(m.shapes, func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	return m
}

// Verifier returns the verifier of a prepared name, always the same one. No password fits it. Its time
// doesn't depend on the number of users. Call it for known names too, so that both take equally long.
func (m *Mock) Verifier(preparedName string) Verifier {
	prf := func(label string) []byte { // a label begins with NUL, which no prepared name contains
		return sign(m.secret, []byte(preparedName+label))
	}
	// The index scales with the number of users, so that a new user changes the shape of few names.
	i, _ := bits.Mul64(binary.BigEndian.Uint64(prf("\x00shape")), uint64(len(m.shapes)))
	iterations, size := m.shapes[i][0], m.shapes[i][1]
	salt := prf("")
	for len(salt) < size {
		salt = append(salt, prf("\x00salt"+strconv.Itoa(len(salt)))...)
	}
	return Verifier{iterations, salt[:size], prf("\x00stored"), prf("\x00server")}
}

// derived holds the keys of a password (RFC 5802 §3).
type derived struct{ clientKey, storedKey, serverKey []byte }

func derive(ctx context.Context, prepared string, salt []byte, iterations int) (derived, error) {
	salted, err := saltedPassword(ctx, prepared, salt, iterations)
	if err != nil {
		return derived{}, err
	}
	clientKey := sign(salted, []byte("Client Key"))
	storedKey := sha256.Sum256(clientKey)
	return derived{clientKey, storedKey[:], sign(salted, []byte("Server Key"))}, nil
}

// saltedPassword is Hi of RFC 5802 §2.2, one block of PBKDF2. crypto/pbkdf2 can't be stopped, and a
// server decides how long the client computes.
func saltedPassword(ctx context.Context, prepared string, salt []byte, iterations int) ([]byte, error) {
	prf := hmac.New(sha256.New, []byte(prepared))
	prf.Write(salt)
	prf.Write([]byte{0, 0, 0, 1})
	u := prf.Sum(nil)
	sum := slices.Clone(u)
	for n := 1; n < iterations; n++ {
		if n%1024 == 1 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		prf.Reset()
		prf.Write(u)
		u = prf.Sum(u[:0])
		subtle.XORBytes(sum, sum, u)
	}
	return sum, nil
}

func sign(key, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(nil)
}
