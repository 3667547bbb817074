package scram

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewVerifier(t *testing.T) {
	t.Parallel()
	got, err := NewVerifier("pen\u00adcil", testSalt, 5000)
	noError(t, err)
	salted, err := pbkdf2.Key(sha256.New, "pencil", testSalt, 5000, sha256.Size)
	noError(t, err)
	mac := func(label string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(label))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	want := Verifier{5000, testSalt, stored[:], mac("Server Key")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct {
		password   string
		salt       []byte
		iterations int
		want       error
	}{
		"control":              {"pencil", testSalt, MinIterations, nil},
		"empty password":       {"", testSalt, MinIterations, ErrPrepare},
		"prohibited password":  {"\x00", testSalt, MinIterations, ErrPrepare},
		"empty salt":           {"pencil", []byte{}, MinIterations, ErrVerifier},
		"salt too long":        {"pencil", make([]byte, maxSalt+1), MinIterations, ErrVerifier},
		"too few iterations":   {"pencil", testSalt, MinIterations - 1, ErrVerifier},
		"negative iterations":  {"pencil", testSalt, -1, ErrVerifier},
		"too many iterations":  {"pencil", testSalt, MaxIterations + 1, ErrVerifier},
		"far too many of them": {"pencil", testSalt, math.MaxInt32, ErrVerifier},
	} {
		v, err := NewVerifier(c.password, c.salt, c.iterations)
		if !errors.Is(err, c.want) || v.valid() != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewVerifierDefaults(t *testing.T) {
	t.Parallel()
	v, err := NewVerifier("pencil", nil, 0)
	if err != nil || v.Iterations != DefaultIterations || len(v.Salt) != 16 {
		t.Fatalf("%d iterations, %d bytes of salt, %v", v.Iterations, len(v.Salt), err)
	}
	w, err := NewVerifier("pencil", nil, 0)
	if err != nil || bytes.Equal(v.Salt, w.Salt) {
		t.Errorf("the same salt twice, %v", err)
	}
}

// A verifier has a copy of the salt that it was made with.
func TestNewVerifierCopies(t *testing.T) {
	t.Parallel()
	salt := bytes.Clone(testSalt)
	v, err := NewVerifier("pencil", salt, MinIterations)
	noError(t, err)
	salt[0]++
	if diff := cmp.Diff(testSalt, v.Salt); diff != "" {
		t.Error(diff)
	}
}

// stored is what PostgreSQL stores for the password and salt of RFC 7677 §3.
const stored = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

func TestParseVerifier(t *testing.T) {
	t.Parallel()
	v, err := ParseVerifier(stored)
	if err != nil || v.String() != stored {
		t.Fatalf("%v, %v", v, err)
	}
	w, err := NewVerifier("pencil", decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
	if err != nil || !w.Equal(v) {
		t.Errorf("made %v, want %v, %v", w, v, err)
	}
	change := func(old, new string) string {
		if strings.Count(stored, old) == 0 {
			t.Errorf("%q is not there", old)
		}
		return strings.Replace(stored, old, new, 1)
	}
	key := encode(make([]byte, 32))
	for name, s := range map[string]string{
		"empty":                 "",
		"lower case":            change("SCRAM", "scram"),
		"other mechanism":       change("256", "512"),
		"PLUS":                  change("256$", "256-PLUS$"),
		"other separators":      change("4096:", "4096$"),
		"separator twice":       change("$4096", "$$4096"),
		"separator behind":      stored + ":",
		"separator in front":    "$" + stored,
		"space in front":        " " + stored,
		"line end behind":       stored + "\n",
		"line end in the salt":  change("W22Z", "W22Z\n"),
		"one more field":        stored + ":" + key,
		"one field less":        stored[:strings.LastIndex(stored, ":")],
		"sign":                  change("4096", "+4096"),
		"leading zero":          change("4096", "04096"),
		"too few iterations":    change("4096", "4095"),
		"negative":              change("4096", "-4096"),
		"too many iterations":   change("4096", "1000001"),
		"iterations overflow":   change("4096", "18446744073709555712"),
		"no iterations":         change("4096", ""),
		"no salt":               change("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
		"salt without padding":  change("gQ==", "gQ"),
		"salt, trailing bits":   change("gQ==", "gR=="),
		"salt too long":         change("W22ZaJ0SNY7soEsUEjb6gQ==", encode(make([]byte, maxSalt+1))),
		"short StoredKey":       change("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=", encode(make([]byte, 31))),
		"long StoredKey":        change("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=", encode(make([]byte, 33))),
		"StoredKey, URL letter": change("WG5d", "WG5_"),
		"short ServerKey":       change("wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", encode(make([]byte, 31))),
		"ServerKey unpadded":    change("l2dU=", "l2dU"),
		"huge":                  stored + strings.Repeat("x", 1<<20),
	} {
		v, err := ParseVerifier(s)
		if err != ErrVerifier || v.Iterations != 0 {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
	for name, s := range map[string]string{
		"longest salt":    change("W22ZaJ0SNY7soEsUEjb6gQ==", encode(make([]byte, maxSalt))),
		"shortest salt":   change("W22ZaJ0SNY7soEsUEjb6gQ==", "QQ=="),
		"most iterations": change("4096", "1000000"),
	} {
		if v, err := ParseVerifier(s); err != nil || v.String() != s {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

func TestVerifierEqual(t *testing.T) {
	t.Parallel()
	v := verifier(t, "pencil")
	if !v.Equal(verifier(t, "pencil")) || !(Verifier{}).Equal(Verifier{}) {
		t.Error("equal verifiers differ")
	}
	for name, change := range map[string]func(*Verifier){
		"iterations":      func(v *Verifier) { v.Iterations++ },
		"salt":            func(v *Verifier) { v.Salt = []byte("sixteen octets.!") },
		"shorter salt":    func(v *Verifier) { v.Salt = v.Salt[1:] },
		"StoredKey":       func(v *Verifier) { v.StoredKey = v.ServerKey },
		"ServerKey":       func(v *Verifier) { v.ServerKey = v.StoredKey },
		"empty ServerKey": func(v *Verifier) { v.ServerKey = nil },
	} {
		w := v
		change(&w)
		if v.Equal(w) || w.Equal(v) {
			t.Errorf("%s: equal", name)
		}
	}
}

// Battery 1: a mock challenge is the same each time, and looks like those of users.
func TestMock(t *testing.T) {
	t.Parallel()
	secret := []byte("secret")
	m := NewMock(secret, nil)
	v := m.Verifier("nobody")
	if v.Iterations != 15000 || len(v.Salt) != 16 || !v.valid() {
		t.Errorf("with no user stored: %v", v)
	}
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("nobody"))
	if diff := cmp.Diff(h.Sum(nil)[:16], v.Salt); diff != "" {
		t.Error(diff)
	}
	if bytes.Equal(v.StoredKey, h.Sum(nil)) || bytes.Equal(v.ServerKey, h.Sum(nil)) || bytes.Equal(v.StoredKey, v.ServerKey) {
		t.Error("a key is the salt, or the other key")
	}
	secret[0]++ // the Mock has a copy
	if diff := cmp.Diff(v, m.Verifier("nobody")); diff != "" {
		t.Error("changed:", diff)
	}
	if diff := cmp.Diff(v, NewMock([]byte("secret"), nil).Verifier("nobody")); diff != "" {
		t.Error("changed by a restart:", diff)
	}
	for name, w := range map[string]Verifier{
		"other name":      m.Verifier("noone"),
		"other secret":    NewMock([]byte("terces"), nil).Verifier("nobody"),
		"no secret":       NewMock(nil, nil).Verifier("nobody"),
		"no other secret": NewMock([]byte{}, nil).Verifier("nobody"),
	} {
		if bytes.Equal(v.Salt, w.Salt) || bytes.Equal(v.StoredKey, w.StoredKey) || bytes.Equal(v.ServerKey, w.ServerKey) {
			t.Errorf("%s: not another verifier", name)
		}
	}
	if bytes.Equal(NewMock(nil, nil).Verifier("x").Salt, NewMock(nil, nil).Verifier("x").Salt) {
		t.Error("without a secret, challenges can be computed")
	}
}

func TestMockSaltLengths(t *testing.T) {
	t.Parallel()
	var longest []byte
	for n := maxSalt; n > 0; n -= 31 {
		m := NewMock([]byte("secret"), []Verifier{{Iterations: MinIterations, Salt: make([]byte, n)}})
		v := m.Verifier("nobody")
		if longest == nil {
			longest = v.Salt
		}
		if len(v.Salt) != n || !bytes.HasPrefix(longest, v.Salt) {
			t.Errorf("%d bytes: %x", n, v.Salt)
		}
	}
	for i := 0; i < len(longest); i += sha256.Size {
		if block := longest[i : i+sha256.Size]; bytes.Count(longest, block) != 1 {
			t.Errorf("block %d comes again", i)
		}
	}
}

// Mock challenges have the shapes of users' challenges, as often as those. One user more changes few of them.
func TestMockShapes(t *testing.T) {
	t.Parallel()
	a, b := Verifier{Iterations: 4096, Salt: make([]byte, 12)}, Verifier{Iterations: 15000, Salt: make([]byte, 16)}
	c := Verifier{Iterations: 15000, Salt: make([]byte, 24)}
	stored := []Verifier{c}
	for range 33 {
		stored = append(stored, b, a, b)
	}
	count := map[string]int{}
	before, after := NewMock([]byte("secret"), stored), NewMock([]byte("secret"), append(stored, a))
	moved := 0
	const names = 10_000
	for i := range names {
		v, w := before.Verifier(fmt.Sprint(i)), after.Verifier(fmt.Sprint(i))
		count[fmt.Sprint(v.Iterations, " ", len(v.Salt))]++
		if v.Iterations != w.Iterations || len(v.Salt) != len(w.Salt) {
			moved++
		}
	}
	for shape, want := range map[string]int{"4096 12": 3300, "15000 16": 6600, "15000 24": 100} {
		if got := count[shape]; got < want-200 || got > want+200 || got == 0 {
			t.Errorf("%s: %d of %d, want about %d", shape, got, names, want)
		}
	}
	if len(count) != 3 || moved > names/50 {
		t.Errorf("shapes %v, %d moved", count, moved)
	}
}

// The salt of a mock challenge, which strangers see, doesn't reveal how its shape was chosen.
func TestMockShapeIsIndependent(t *testing.T) {
	t.Parallel()
	m := NewMock([]byte("secret"), []Verifier{{Iterations: 4096, Salt: testSalt}, {Iterations: 5000, Salt: testSalt}})
	agree := 0
	const names = 1000
	for i := range names {
		if v := m.Verifier(fmt.Sprint(i)); (v.Salt[0] < 0x80) == (v.Iterations == 4096) {
			agree++
		}
	}
	if agree < names*4/10 || agree > names*6/10 {
		t.Errorf("salt and iterations agree for %d of %d names", agree, names)
	}
}

// No password fits a mock verifier: its StoredKey derives from no password.
func TestMockHasNoPassword(t *testing.T) {
	t.Parallel()
	m := NewMock([]byte("secret"), []Verifier{verifier(t, "pencil")})
	for _, password := range []string{"pencil", "nobody", "secret", " "} {
		v := m.Verifier("nobody")
		w, err := NewVerifier(password, v.Salt, v.Iterations)
		if err != nil || bytes.Equal(v.StoredKey, w.StoredKey) || bytes.Equal(v.ServerKey, w.ServerKey) {
			t.Errorf("%q fits, %v", password, err)
		}
		known := func(string) (Verifier, bool) { return v, true }
		p := newPair(t, ClientConfig{Password: password, Mechanism: SHA256}, ServerConfig{Mechanism: SHA256, Lookup: known})
		if _, err := p.run(); err != ErrWrongProof {
			t.Errorf("%q: %v", password, err)
		}
	}
}
