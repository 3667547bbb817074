package scram

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// victims are the two ends of logins with fixed nonces, so that a message of one login fits into another. The
// keys are computed once.
type victims struct {
	plus  bool
	keys  KeyCache
	users func(string) (Verifier, bool)
	other [4][]byte // the messages of a login with other nonces
}

// same is a source of randomness that gives the same bytes each time.
type same byte

func (s same) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s) + byte(i)
	}
	return len(p), nil
}

func newVictims(tb testing.TB, plus bool) *victims {
	tb.Helper()
	v := &victims{plus: plus, users: lookup("user", verifier(tb, "pencil"))}
	recorded := &attack{victims: v}
	if err := recorded.run(v.pair(tb, 0x40).steps(tb.Context())); err != nil || !recorded.won {
		tb.Fatalf("the login that is recorded fails: %v", err)
	}
	v.other = recorded.received
	return v
}

// pair makes both ends. The nonces of plain have the seed 0.
func (v *victims) pair(tb testing.TB, nonces same) *pair {
	tb.Helper()
	c := ClientConfig{Mechanism: SHA256, MaxIterations: MinIterations, Keys: &v.keys, Rand: zeros{}}
	s := ServerConfig{Mechanism: SHA256, PlusOffered: true, Bindings: []ChannelBinding{exporter}, Lookup: v.users, Rand: zeros{}}
	if nonces > 0 {
		c.Rand, s.Rand = nonces, nonces+1
	}
	if v.plus {
		c.Mechanism, c.Binding, s.Mechanism = SHA256Plus, exporter, SHA256Plus
	}
	return newPair(tb, c, s)
}

// attack is Mallory between two honest ends, without the password. She sends the messages in replace in place
// of theirs, and makes the edits in all.
type attack struct {
	*victims
	replace  [4][]byte
	edits    []byte
	received [4][]byte
	altered  bool // a signed message differs from the one that was sent
	won      bool // both ends accept the login
}

// run returns an error if an end accepts a message that the other has not sent. When one end has failed, the
// other gets the messages in replace.
func (a *attack) run(steps []step) error {
	var sent, received []byte
	var failed [2]error
	for i, do := range steps[:4] {
		if sent = nil; failed[i%2] == nil {
			sent, failed[i%2] = do(received)
		}
		if i == 3 && a.altered && failed[1] == nil {
			return fmt.Errorf("the server accepts %q", a.received)
		}
		received = a.alter(i, sent)
	}
	if failed[0] != nil {
		return nil
	}
	_, err := steps[4](received)
	// The last message is not signed: extensions may follow the signature.
	rest, signed := bytes.CutPrefix(received, sent)
	signed = signed && len(sent) > 0 && (len(rest) == 0 || rest[0] == ',')
	a.won = err == nil
	switch {
	case a.won && (a.altered || !signed):
		return fmt.Errorf("the client believes %q", a.received)
	case !a.won && !a.altered && bytes.Equal(received, sent):
		return fmt.Errorf("an honest login fails: client %w, server %w", err, failed[1])
	}
	return nil
}

// alter returns the message that arrives. sent is nil if the sender has failed.
func (a *attack) alter(step int, sent []byte) []byte {
	message := slices.Clone(sent)
	if len(a.replace[step]) > 0 {
		message = slices.Clone(a.replace[step])
	}
	for edit := range slices.Chunk(a.edits, 3) {
		if len(edit) == 3 && int(edit[0]%4) == step && len(message) > 0 {
			message = a.edit(message, step, int(edit[0]/4), int(edit[1]), edit[2])
		}
	}
	a.altered = a.altered || step < 3 && !bytes.Equal(sent, message)
	a.received[step] = message
	return message
}

// edit makes one change in a message that is not empty.
func (a *attack) edit(message []byte, step, verb, at int, value byte) []byte {
	i := at % len(message)
	parts := strings.Split(string(message), ",")
	part, second := at%len(parts), int(value)%len(parts)
	theirs := strings.Split(string(a.other[step]), ",")
	switch verb % 8 {
	case 0:
		message[i] ^= 1 << (value % 8)
		return message
	case 1:
		return slices.Insert(message, i, value)
	case 2:
		return slices.Delete(message, i, i+1)
	case 3:
		parts[part], parts[second] = parts[second], parts[part]
	case 4:
		parts[part] = theirs[int(value)%len(theirs)]
	case 5:
		return slices.Clone(a.other[step])
	case 6:
		parts[part] = strings.ToUpper(parts[part][:min(1, len(parts[part]))]) + parts[part][min(1, len(parts[part])):]
	case 7:
		parts = slices.Insert(parts, part, parts[second])
	}
	return []byte(strings.Join(parts, ","))
}

// FuzzLogin checks that no change of messages on their way makes an end accept a login.
func FuzzLogin(f *testing.F) {
	byPlus := map[bool]*victims{false: newVictims(f, false), true: newVictims(f, true)}
	for verb := range 8 {
		for step := range 4 {
			f.Add(step%2 == 0, []byte(nil), []byte(nil), []byte(nil), []byte(nil), []byte{byte(4*verb + step), 7, 1})
		}
	}
	for plus, v := range byPlus {
		f.Add(plus, v.other[0], v.other[1], v.other[2], v.other[3], []byte(nil))
	}
	for _, s := range fixtureSeeds(f, 'C') {
		f.Add(false, []byte(s), []byte(nil), []byte(nil), []byte(nil), []byte(nil))
		f.Add(false, []byte(nil), []byte(nil), []byte(s), []byte(nil), []byte(nil))
	}
	for _, s := range fixtureSeeds(f, 'S') {
		f.Add(false, []byte(nil), []byte(s), []byte(nil), []byte(nil), []byte(nil))
		f.Add(false, []byte(nil), []byte(nil), []byte(nil), []byte(s), []byte(nil))
	}
	f.Fuzz(func(t *testing.T, plus bool, clientFirst, serverFirst, clientFinal, serverFinal, edits []byte) {
		v := byPlus[plus]
		a := attack{victims: v, replace: [4][]byte{clientFirst, serverFirst, clientFinal, serverFinal}, edits: edits}
		if err := a.run(v.pair(t, 0x80).steps(t.Context())); err != nil { // the seeds have a proof for the nonces of 0
			t.Error(err)
		}
	})
}

// The control: against a broken end, the same attack succeeds after few random edits.
func TestFuzzLoginFinds(t *testing.T) {
	t.Parallel()
	const most = 2000
	v := newVictims(t, true)
	pencil, err := derive(t.Context(), "pencil", testSalt, testCount)
	noError(t, err)
	for name, breakIt := range map[string]func(steps []step, s *Server){
		"none": func([]step, *Server) {},
		"a server that reads an attribute twice": func(steps []step, s *Server) {
			steps[1] = func(m []byte) ([]byte, error) { return s.First(once(m)) }
			steps[3] = func(m []byte) ([]byte, error) { return s.Final(once(m)) }
		},
		"a server that does not care about case": func(steps []step, s *Server) {
			steps[1] = func(m []byte) ([]byte, error) { return s.First(lower(m)) }
			steps[3] = func(m []byte) ([]byte, error) { return s.Final(lower(m)) }
		},
		"a server that compares half of the proof": func(steps []step, s *Server) {
			steps[3] = func(m []byte) ([]byte, error) {
				withoutProof, _, _, proof, ok := parseClientFinal(m)
				auth := []byte(s.auth + "," + withoutProof)
				want := sign(pencil.storedKey, auth)
				subtle.XORBytes(want, want, pencil.clientKey)
				if !ok || !bytes.Equal(proof[:16], want[:16]) {
					return nil, ErrWrongProof
				}
				return []byte("v=" + encode(sign(pencil.serverKey, auth))), nil
			}
		},
		"a client that does not check the signature": func(steps []step, _ *Server) {
			steps[4] = func(m []byte) ([]byte, error) {
				if bytes.HasPrefix(m, []byte("v=")) {
					return nil, nil
				}
				return nil, ErrServerUnverified
			}
		},
	} {
		random, tries := rand.New(rand.NewPCG(1, 2)), 0
		for ; tries < most; tries++ {
			p := v.pair(t, 0)
			steps := p.steps(t.Context())
			breakIt(steps, p.server)
			a := attack{victims: v, edits: []byte{byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())}}
			if a.run(steps) != nil {
				break
			}
		}
		if (tries == most) != (name == "none") {
			t.Errorf("%s: falls after %d tries", name, tries)
		}
	}
}

func once(message []byte) []byte {
	return bytes.Join(slices.CompactFunc(bytes.Split(message, []byte(",")), bytes.Equal), []byte(","))
}

func lower(message []byte) []byte {
	return []byte(strings.NewReplacer(",P=", ",p=", ",R=", ",r=", ",N=", ",n=").Replace(string(message)))
}
