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

// Verifier is what a server stores in place of a password (RFC 5802 §3). It is a secret: with it
// one can guess the password offline, and pose as the server. Since String gives the stored form,
// never print one, or a struct that holds one.
type Verifier struct {
	Iterations           int    // MinIterations to MaxIterations
	Salt                 []byte // 1 to 1,024 octets
	StoredKey, ServerKey []byte // 32 octets each
}

// NewVerifier derives the verifier of a password, which it prepares. A nil salt means 16 random
// octets, zero iterations mean [DefaultIterations]. It fails with [ErrPrepare] or [ErrVerifier].
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
		return Verifier{}, fmt.Errorf("%w: %d iterations, %d octets of salt", ErrVerifier, v.Iterations, len(salt))
	}
	keys, err := derive(context.Background(), prepared, salt, v.Iterations)
	v.StoredKey, v.ServerKey = keys.storedKey, keys.serverKey
	return v, err
}

// ParseVerifier reads exactly what [Verifier.String] writes, or fails with [ErrVerifier].
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

// String is the stored form (RFC 5803, as PostgreSQL has it), and as secret as v:
// SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, with canonical base64.
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

// Mock makes up challenges for unknown names, so that a challenge doesn't tell who exists (RFC
// 5802 §9). It is safe for concurrent use.
type Mock struct {
	secret []byte
	shapes [][2]int // of the users' challenges, sorted: iterations, octets of salt
}

// NewMock makes a Mock whose challenges look like the stored ones: iterations and octets of salt that
// users have, as often as they do; [DefaultIterations] and 16 if there are none. Keep secret (32 random
// octets; empty: a fresh one), as challenges of unknown names change with it and others don't.
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

// Verifier makes up the verifier of a prepared name, always the same one; no password fits it. The
// time doesn't depend on the number of users. Call it for known names too, to take equally long.
func (m *Mock) Verifier(preparedName string) Verifier {
	prf := func(label string) []byte { // labels begin with NUL, which no prepared name has
		return sign(m.secret, []byte(preparedName+label))
	}
	// As a fraction of all users, so that one user more moves few names to another shape.
	i, _ := bits.Mul64(binary.BigEndian.Uint64(prf("\x00shape")), uint64(len(m.shapes)))
	iterations, octets := m.shapes[i][0], m.shapes[i][1]
	salt := prf("")
	for len(salt) < octets {
		salt = append(salt, prf("\x00salt"+strconv.Itoa(len(salt)))...)
	}
	return Verifier{iterations, salt[:octets], prf("\x00stored"), prf("\x00server")}
}

// derived is what the proofs are made of (RFC 5802 §3).
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

// saltedPassword is Hi of RFC 5802 §2.2, one block of PBKDF2. It isn't crypto/pbkdf2 because a
// server decides how long it takes, so the client must be able to stop it.
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
