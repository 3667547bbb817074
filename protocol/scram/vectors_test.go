package scram

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sallyport/sallyport/fixtures"
)

// have is what this package can do without a connection.
var have = fixtures.Facilities{
	Bindings: map[string][]byte{TypeExporter: exporter.Data, TypeServerEndPoint: endPoint.Data},
	Has:      []string{"plus", "no-plus", "saslprep", "long-messages"},
}

// vectorKeys spare the iterations, which are tested elsewhere.
var vectorKeys KeyCache

// vectorPeers are the client and the server of a vector.
func vectorPeers(t *testing.T, v *fixtures.Vector) (client, server fixtures.Peer) {
	t.Helper()
	l := v.Login
	c, errClient := NewClient(ClientConfig{
		Username: l.User, Password: l.Password, Authzid: l.Authzid, Mechanism: l.Mechanism, Keys: &vectorKeys,
		ServerLacksPlus: l.Flag == "y", Binding: ChannelBinding{l.Binding, have.Bindings[l.Binding]},
	})
	stored, errStored := v.Verifier()
	user, errUser := ParseVerifier(stored)
	noError(t, cmp.Or(errClient, errStored, errUser))
	mock := NewMock([]byte(fixtures.MockSecret), []Verifier{user})
	cfg := ServerConfig{Mechanism: l.ServerMechanism, PlusOffered: len(l.Bindings) > 0, Lookup: func(name string) (Verifier, bool) {
		if l.Known && name == l.Name {
			return user, true
		}
		return mock.Verifier(name), false
	}}
	for _, binding := range l.Bindings {
		cfg.Bindings = append(cfg.Bindings, ChannelBinding{binding, have.Bindings[binding]})
	}
	// A client that believes in too many iterations must not compute for ever.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	do := (&pair{c, NewServer(cfg)}).steps(ctx)
	return peerOf(do[0], do[2], do[4]), peerOf(do[1], do[3])
}

// peerOf takes the steps of one end. After an error none may be possible.
func peerOf(steps ...step) fixtures.Peer {
	next := 0
	return fixtures.PeerFunc(func(_ context.Context, message []byte) ([]byte, error) {
		next++
		reply, err := steps[next-1](message)
		if err == nil {
			return reply, nil
		}
		for _, again := range steps {
			if more, err := again(message); reply != nil || more != nil || !errors.Is(err, ErrSequence) {
				return nil, fixtures.Reason("goes on after an error")
			}
		}
		token, _ := errors.AsType[Error](err)
		return nil, fixtures.Reason(cmp.Or(string(token), err.Error()))
	})
}

// Every message of fixtures/scram: the client alone, the server alone, and both with Mallory between.
func TestVectors(t *testing.T) {
	t.Parallel()
	vectors, err := fixtures.Vectors()
	noError(t, err)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			if client, _ := vectorPeers(t, &v); v.Judges("client") {
				if err := v.Test(t.Context(), client, nil, have); err != nil {
					t.Error("client alone:", err)
				}
			}
			if _, server := vectorPeers(t, &v); v.Judges("server") {
				if err := v.Test(t.Context(), nil, server, have); err != nil {
					t.Error("server alone:", err)
				}
			}
			client, server := vectorPeers(t, &v)
			if err := v.Test(t.Context(), client, server, have); err != nil {
				t.Error("both:", err)
			}
		})
	}
}

// What must not pass for the outcome that a vector demands.
func TestVectorsFind(t *testing.T) {
	t.Parallel()
	const good = "login: plain plus\nfound: server client-final nonce\n" +
		"client-part must RFC 5802 §5.1: the client's part alone\n  client-final! c={cbind},r={cnonce},p={proof}\n"
	for name, change := range map[string][2]string{
		"control":                             {"", ""},
		"a client that says something else":   {"  client-final!", "  client-first: {gs2}n=bob,r={cnonce}\n  client-final!"},
		"a server that says something else":   {"  client-final!", "  server-first: r={nonce},s={salt},i={i},x=1\n  client-final!"},
		"a fault that is none":                {"r={cnonce}", "r={nonce}"},
		"a fault that is none, in transit":    {"! c={cbind},r={cnonce}", "> c={cbind},r={nonce}"},
		"a symbol without a value":            {"r={cnonce}", "r={signature}"},
		"a fault in front of the fault":       {"  client-final!", "  client-first! {gs2}n={name},r={cnonce},m=x\n  client-final!"},
		"another reason":                      {"client-final nonce\n", "client-final malformed\n"},
		"another peer":                        {"server client-final nonce\n", "client server-final nonce\n"},
		"a fault where there should be none":  {"found: server client-final nonce\n", "found: nothing\n"},
		"nothing where there should be some":  {"r={cnonce}", "r={nonce},x=1"},
		"a right proof where one is forged":   {"! c={cbind},r={cnonce}", "> c={cbind},r={nonce},x=1"},
		"an undetected fault and many rounds": {"  client-final! c={cbind},r={cnonce},p={proof}", "  client-first! {gs2}n={name},r={cnonce},x=1"},
	} {
		vectors, err := fixtures.ParseVectors(fstest.MapFS{
			"00-logins.txt": {Data: []byte("found: nothing\nplain must RFC 5802 §5: not bound\n" +
				"plus must RFC 9266 §2: bound\n  mechanism: SCRAM-SHA-256-PLUS\n  needs: tls-exporter\n")},
			"03-nonce.txt": {Data: []byte(strings.Replace(good, change[0], change[1], 1))},
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, v := range vectors[2:] {
			client, server := vectorPeers(t, &v)
			err := v.Test(t.Context(), client, server, have)
			if _, server = vectorPeers(t, &v); v.Judges("server") {
				err = errors.Join(err, v.Test(t.Context(), nil, server, have))
			}
			if (err == nil) != (name == "control") {
				t.Errorf("%s, %s: %v", name, v.Name, err)
			}
		}
	}
}
