package scram

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/fixtures"
)

// stage is what a login needs: a user, keys that are computed once, and nonces that are known, so that
// a message of one run means something in the next.
type stage struct {
	plus  bool
	keys  KeyCache
	users func(string) (Verifier, bool)
	other [4][]byte // a login with other nonces
}

// same is a source of randomness without any.
type same byte

func (s same) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s) + byte(i)
	}
	return len(p), nil
}

func newStage(tb testing.TB, plus bool) *stage {
	tb.Helper()
	s := &stage{plus: plus, users: lookup("user", verifier(tb, "pencil"))}
	recorded := &attack{stage: s}
	if err := recorded.run(s.peers(tb, 0x40, 0x80)); err != nil || !recorded.won {
		tb.Fatalf("the login that is recorded fails: %v", err)
	}
	s.other = recorded.heard
	return s
}

// login makes both ends of a login, with their nonces.
func (s *stage) login(tb testing.TB, client, server same) *pair {
	tb.Helper()
	c := ClientConfig{Mechanism: SHA256, MaxIterations: MinIterations, Keys: &s.keys, Rand: client}
	cfg := ServerConfig{Mechanism: SHA256, PlusOffered: true, Bindings: []ChannelBinding{exporter}, Lookup: s.users, Rand: server}
	if s.plus {
		c.Mechanism, c.Binding, cfg.Mechanism = SHA256Plus, exporter, SHA256Plus
	}
	return newPair(tb, c, cfg)
}

func (s *stage) peers(tb testing.TB, client, server same) (fixtures.Peer, fixtures.Peer) {
	tb.Helper()
	p := s.login(tb, client, server)
	return clientPeer(p.client), serverPeer(p.server)
}

// attack is Mallory between two honest ends, without the password. What stands in
// replace is said in place of their messages, edits are done to the others.
type attack struct {
	*stage
	replace [4][]byte
	edits   []byte
	heard   [4][]byte
	won     bool // both ends are content
}

// run gives an error if an end is content with what the other has not said.
func (a *attack) run(client, server fixtures.Peer) error {
	ends, altered := [2]fixtures.Peer{client, server}, false
	for step := range a.heard {
		var said, before []byte
		if step > 0 {
			before = a.heard[step-1]
		}
		if end := &ends[step%2]; *end != nil {
			var err error
			if said, err = (*end).Next(context.Background(), before); err != nil {
				*end = nil
			} else if step == 3 && altered {
				return fmt.Errorf("the server lets in who said %q", a.heard)
			}
		}
		a.heard[step] = a.alter(step, said)
		altered = altered || step < 3 && !bytes.Equal(said, a.heard[step])
		if ends[step%2] == nil && len(a.heard[step]) == 0 {
			return nil // nobody says anything any more
		}
		if step == 3 && ends[0] != nil {
			return a.judge(ends[0], said, altered)
		}
	}
	return nil
}

// judge has the client hear the end. It is not signed: extensions may stand
// behind the signature.
func (a *attack) judge(client fixtures.Peer, said []byte, altered bool) error {
	last := a.heard[3]
	_, err := client.Next(context.Background(), last)
	rest, signed := bytes.CutPrefix(last, said)
	signed = signed && len(said) > 0 && (len(rest) == 0 || rest[0] == ',')
	a.won = err == nil
	if a.won && (altered || !signed) {
		return fmt.Errorf("the client believes %q", a.heard)
	}
	if !a.won && !altered && bytes.Equal(last, said) {
		return fmt.Errorf("an honest login fails: %w", err)
	}
	return nil
}

func (a *attack) alter(step int, said []byte) []byte {
	message := slices.Clone(said)
	if len(a.replace[step]) > 0 {
		message = slices.Clone(a.replace[step])
	}
	for edit := range slices.Chunk(a.edits, 3) {
		if len(edit) == 3 && int(edit[0]%4) == step && len(message) > 0 {
			message = a.edit(message, step, int(edit[0]/4), int(edit[1]), edit[2])
		}
	}
	return message
}

// edit does one thing to a message that is not empty.
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

// FuzzLogin: whatever is done to a login on its way, nobody is logged in by it.
func FuzzLogin(f *testing.F) {
	stages := map[bool]*stage{false: newStage(f, false), true: newStage(f, true)}
	f.Add(true, []byte(nil), []byte(nil), []byte(nil), []byte(nil), []byte(nil))
	for verb := range 8 {
		for step := range 4 {
			f.Add(step%2 == 0, []byte(nil), []byte(nil), []byte(nil), []byte(nil), []byte{byte(4*verb + step), 7, 1})
		}
	}
	for plus, s := range stages {
		f.Add(plus, s.other[0], s.other[1], s.other[2], s.other[3], []byte(nil))
	}
	for plus, heard := range heardInVectors(f) {
		f.Add(plus, heard[0], heard[1], heard[2], heard[3], []byte(nil))
	}
	f.Fuzz(func(t *testing.T, plus bool, clientFirst, serverFirst, clientFinal, serverFinal, edits []byte) {
		s := stages[plus]
		a := attack{stage: s, replace: [4][]byte{clientFirst, serverFirst, clientFinal, serverFinal}, edits: edits}
		if err := a.run(s.peers(t, 1, 2)); err != nil {
			t.Error(err)
		}
	})
}

// heardInVectors gives the messages of every vector, as they arrive.
func heardInVectors(tb testing.TB) iter.Seq2[bool, [4][]byte] {
	tb.Helper()
	vectors, err := fixtures.Vectors()
	if err != nil {
		tb.Fatal(err)
	}
	return func(yield func(bool, [4][]byte) bool) {
		for _, v := range vectors {
			var heard [4][]byte
			hears := func(peer fixtures.Peer, step int) fixtures.Peer {
				return fixtures.PeerFunc(func(ctx context.Context, message []byte) ([]byte, error) {
					if step >= 0 && len(message) < 1<<10 {
						heard[step] = message
					}
					step += 2
					return peer.Next(ctx, message)
				})
			}
			client, server := vectorClient(tb, &v, rand.NewChaCha8([32]byte{})), vectorServer(tb, &v, rand.NewChaCha8([32]byte{1}))
			if _, err := v.Play(tb.Context(), hears(client, -1), hears(server, 0), have); err != nil {
				tb.Fatal(err)
			}
			if !yield(v.Login.ServerMechanism == SHA256Plus, heard) {
				return
			}
		}
	}
}

// TestFuzzLoginFinds: against an end that is broken, the same attack succeeds after few random edits.
func TestFuzzLoginFinds(t *testing.T) {
	t.Parallel()
	s := newStage(t, true)
	honest := func() (client, server fixtures.Peer) { return s.peers(t, 1, 2) }
	for name, broken := range map[string]func(client, server fixtures.Peer) (fixtures.Peer, fixtures.Peer){
		"a server that reads an attribute twice": func(c, s fixtures.Peer) (fixtures.Peer, fixtures.Peer) {
			return c, hearing(s, func(m string) string { return strings.Join(slices.Compact(strings.Split(m, ",")), ",") })
		},
		"a server that does not care about case": func(c, s fixtures.Peer) (fixtures.Peer, fixtures.Peer) {
			return c, hearing(s, strings.NewReplacer(",P=", ",p=", ",R=", ",r=", ",N=", ",n=").Replace)
		},
		"a server that compares half of the proof": func(c, _ fixtures.Peer) (fixtures.Peer, fixtures.Peer) {
			return c, halfHearted(s.login(t, 1, 2).server)
		},
		"a client that does not check the signature": func(c, s fixtures.Peer) (fixtures.Peer, fixtures.Peer) {
			return credulous(c), s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tries := s.tries(func() (client, server fixtures.Peer) { return broken(honest()) }); tries > 1000 {
				t.Errorf("not found in %d tries", tries)
			}
		})
	}
	if tries := s.tries(honest); tries < maxTries {
		t.Errorf("a login without a fault falls after %d tries", tries)
	}
}

const maxTries = 2000

// tries is how many attacks fail, of three random bytes each, before one succeeds.
func (s *stage) tries(peers func() (client, server fixtures.Peer)) int {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range maxTries {
		edits := make([]byte, 3)
		for i := range edits {
			edits[i] = byte(random.Uint32())
		}
		a := attack{stage: s, edits: edits}
		if a.run(peers()) != nil {
			return n
		}
	}
	return maxTries
}

// hearing is an end that takes a message for what change makes of it.
func hearing(peer fixtures.Peer, change func(string) string) fixtures.Peer {
	return fixtures.PeerFunc(func(ctx context.Context, message []byte) ([]byte, error) {
		return peer.Next(ctx, []byte(change(string(message))))
	})
}

func credulous(client fixtures.Peer) fixtures.Peer {
	return fixtures.PeerFunc(func(ctx context.Context, message []byte) ([]byte, error) {
		if strings.HasPrefix(string(message), "v=") {
			return nil, nil
		}
		return client.Next(ctx, message)
	})
}

// halfHearted is a server that compares the first 16 bytes of a proof.
func halfHearted(s *Server) fixtures.Peer {
	first := func(_ context.Context, message []byte) ([]byte, error) { return s.First(message) }
	return peerOf(first, func(_ context.Context, message []byte) ([]byte, error) {
		withoutProof, _, _, proof, ok := parseClientFinal(message)
		auth := []byte(s.auth + "," + withoutProof)
		want := sign(pencil().storedKey, auth)
		subtle.XORBytes(want, want, pencil().clientKey)
		if !ok || !bytes.Equal(proof[:16], want[:16]) {
			return nil, ErrWrongProof
		}
		return []byte("v=" + encode(sign(pencil().serverKey, auth))), nil
	})
}

// pencil is what a client derives from the password of newPair's user.
var pencil = sync.OnceValue(func() derived {
	keys, err := derive(context.Background(), "pencil", testSalt, testCount)
	if err != nil {
		panic(err)
	}
	return keys
})
