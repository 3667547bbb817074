package mallory

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/protocol/scram"
)

// stage is what a login needs: a user, keys that are computed once, and nonces
// that are known, so that a message of one run means something in the next.
type stage struct {
	script Script
	config scram.ClientConfig
	other  [4][]byte // a login with other nonces
}

// same is a source of randomness without any.
type same byte

func (s same) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s) + byte(i)
	}
	return len(p), nil
}

func newStage(tb testing.TB, mechanism string) *stage {
	tb.Helper()
	setting, err := newSetting(map[string]string{"mechanism": mechanism})
	if err != nil {
		tb.Fatal(err)
	}
	s := &stage{script: Script{Setting: setting, keys: newKeys()}}
	s.config = scram.ClientConfig{
		Username: "alice", Password: password, Mechanism: mechanism, MaxIterations: scram.MinIterations, Keys: &s.script.keys.client,
		Binding: scram.ChannelBinding{Type: scram.TypeExporter, Data: loopback()[scram.TypeExporter]},
	}
	recorded := &attack{stage: s}
	if err := recorded.run(s.client(tb, 0x40), s.server(0x80)); err != nil || !recorded.won {
		tb.Fatalf("the login that is recorded fails: %v", err)
	}
	s.other = recorded.heard
	return s
}

func (s *stage) client(tb testing.TB, nonce same) End {
	config := s.config
	config.Rand = nonce
	c, err := scram.NewClient(config)
	if err != nil {
		tb.Fatal(err)
	}
	return &client{c, 0}
}

func (s *stage) server(nonce same) End {
	server := scram.NewServer(scram.ServerConfig{
		Mechanism: s.config.Mechanism, PlusOffered: true, Lookup: s.script.Lookup, Rand: nonce,
		Bindings: []scram.ChannelBinding{s.config.Binding},
	})
	next := server.First
	return EndFunc(func(_ context.Context, heard []byte) ([]byte, error) {
		said, err := next(heard)
		next = server.Final
		return said, err
	})
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
func (a *attack) run(client, server End) error {
	ends, altered := [2]End{client, server}, false
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
func (a *attack) judge(client End, said []byte, altered bool) error {
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
	stages := map[bool]*stage{false: newStage(f, scram.SHA256), true: newStage(f, scram.SHA256Plus)}
	f.Add(true, []byte(nil), []byte(nil), []byte(nil), []byte(nil), []byte(nil))
	for verb := range 8 {
		for step := range 4 {
			f.Add(step%2 == 0, []byte(nil), []byte(nil), []byte(nil), []byte(nil), []byte{byte(4*verb + step), 7, 1})
		}
	}
	for plus, s := range stages {
		f.Add(plus, s.other[0], s.other[1], s.other[2], s.other[3], []byte(nil))
	}
	for _, heard := range heardInFixtures(f) {
		f.Add(true, heard[0], heard[1], heard[2], heard[3], []byte(nil))
	}
	f.Fuzz(func(t *testing.T, plus bool, clientFirst, serverFirst, clientFinal, serverFinal, edits []byte) {
		s := stages[plus]
		a := attack{stage: s, replace: [4][]byte{clientFirst, serverFirst, clientFinal, serverFinal}, edits: edits}
		if err := a.run(s.client(t, 1), s.server(2)); err != nil {
			t.Error(err)
		}
	})
}

// heardInFixtures are the messages of every transcript, as they arrive.
func heardInFixtures(tb testing.TB) (all [][4][]byte) {
	tb.Helper()
	scripts, err := Scripts()
	if err != nil {
		tb.Fatal(err)
	}
	for _, s := range scripts {
		s.Rand = rand.NewChaCha8([32]byte{})
		client, err := s.Client(loopback())
		if err != nil {
			tb.Fatal(err)
		}
		var heard [4][]byte
		hears := func(end End, step int) End {
			return EndFunc(func(ctx context.Context, message []byte) ([]byte, error) {
				if step >= 0 && len(message) < 1<<10 {
					heard[step] = message
				}
				step += 2
				return end.Next(ctx, message)
			})
		}
		if _, err := s.Replay(tb.Context(), hears(client, -1), hears(s.Server(loopback()), 0), loopback()); err != nil {
			tb.Fatal(err)
		}
		all = append(all, heard)
	}
	return all
}

// TestFuzzLoginFinds: against an end that is broken, the same attack succeeds
// after few random edits.
func TestFuzzLoginFinds(t *testing.T) {
	t.Parallel()
	s := newStage(t, scram.SHA256Plus)
	for name, ends := range map[string]func() (client, server End){
		"a server that reads an attribute twice":     func() (End, End) { return s.client(t, 1), hearing(s.server(2), once) },
		"a server that does not care about case":     func() (End, End) { return s.client(t, 1), hearing(s.server(2), lower) },
		"a server that compares half of the proof":   func() (End, End) { return s.client(t, 1), s.halfHearted() },
		"a client that does not check the signature": func() (End, End) { return credulous(s.client(t, 1)), s.server(2) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tries := s.tries(ends); tries > 1000 {
				t.Errorf("not found in %d tries", tries)
			}
		})
	}
	control := func() (End, End) { return s.client(t, 1), s.server(2) }
	if tries := s.tries(control); tries < maxTries {
		t.Errorf("a login without a fault falls after %d tries", tries)
	}
}

// hearing is an end that takes a message for what change makes of it.
func hearing(end End, change func(string) string) End {
	return EndFunc(func(ctx context.Context, heard []byte) ([]byte, error) {
		return end.Next(ctx, []byte(change(string(heard))))
	})
}

func once(message string) string {
	return strings.Join(slices.Compact(strings.Split(message, ",")), ",")
}

func lower(message string) string {
	return strings.NewReplacer(",P=", ",p=", ",R=", ",r=", ",N=", ",n=").Replace(message)
}

func credulous(client End) End {
	return EndFunc(func(ctx context.Context, heard []byte) ([]byte, error) {
		if strings.HasPrefix(string(heard), "v=") {
			return nil, nil
		}
		return client.Next(ctx, heard)
	})
}

const maxTries = 2000

// tries is how many attacks fail, of three random octets each, before one succeeds.
func (s *stage) tries(ends func() (client, server End)) int {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range maxTries {
		edits := make([]byte, 3)
		for i := range edits {
			edits[i] = byte(random.Uint32())
		}
		a := attack{stage: s, edits: edits}
		if a.run(ends()) != nil {
			return n
		}
	}
	return maxTries
}

// halfHearted is a server that compares the first 16 octets of a proof.
func (s *stage) halfHearted() End {
	real := s.server(2)
	var first, challenge string
	return EndFunc(func(ctx context.Context, heard []byte) ([]byte, error) {
		if challenge == "" {
			first = string(heard)
			said, err := real.Next(ctx, heard)
			challenge = string(said)
			return said, err
		}
		withoutProof, given, _ := strings.Cut(string(heard), ",p=")
		proof, signature, err := s.script.sign(first, challenge, withoutProof)
		want, _ := base64.StdEncoding.DecodeString(proof)
		got, _ := base64.StdEncoding.DecodeString(given)
		if err != nil || len(got) != len(want) || !bytes.Equal(got[:16], want[:16]) {
			return nil, scram.ErrWrongProof
		}
		return []byte("v=" + signature), nil
	})
}
