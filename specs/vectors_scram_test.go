package specs

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"testing/fstest"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol/scram"
)

// withoutTLS are the facilities of protocol/scram alone.
var withoutTLS = fixtures.Facilities{
	Bindings: map[string][]byte{
		scram.TypeExporter:       []byte("0123456789abcdef0123456789abcdef"),
		scram.TypeServerEndPoint: []byte("fedcba9876543210fedcba9876543210"),
	},
	Has: []string{"plus", "no-plus", "saslprep", "long-messages"},
}

// vectorKeys caches the PBKDF2 results of all vectors.
var vectorKeys scram.KeyCache

var _ = Describe("The outcome of a vector", Label("area:login"), func() {
	const stanza = "login: plain plus\nfound: server client-final nonce\n" +
		"client-part must RFC 5802 §5.1: the client's part alone\n  client-final! c={cbind},r={cnonce},p={proof}\n"
	DescribeTable("is not its own in a vector with", Label("control"), func(ctx SpecContext, from, to string) {
		Expect(strings.Contains(stanza, from)).To(BeTrue())
		Expect(testStanza(ctx, stanza)).To(Equal([]error{nil, nil}), "the control")
		Expect(testStanza(ctx, strings.Replace(stanza, from, to, 1))).NotTo(ContainElement(BeNil()))
	},
		Entry("another first message of the client", limit, "  client-final!", "  client-first: {gs2}n=bob,r={cnonce}\n  client-final!"),
		Entry("another first message of the server", limit, "  client-final!", "  server-first: r={nonce},s={salt},i={i},x=1\n  client-final!"),
		Entry("a fault that is none", limit, "r={cnonce}", "r={nonce}"),
		Entry("a fault that is none, in transit", limit, "! c={cbind},r={cnonce}", "> c={cbind},r={nonce}"),
		Entry("a symbol without a value", limit, "r={cnonce}", "r={signature}"),
		Entry("a fault in front of the fault", limit, "  client-final!", "  client-first! {gs2}n={name},r={cnonce},m=x\n  client-final!"),
		Entry("another reason", limit, "client-final nonce\n", "client-final malformed\n"),
		Entry("another peer", limit, "server client-final nonce\n", "client server-final nonce\n"),
		Entry("a fault, and nothing to find", limit, "found: server client-final nonce\n", "found: nothing\n"),
		Entry("nothing wrong, and a fault to find", limit, "r={cnonce}", "r={nonce},x=1"),
		Entry("a right proof in place of a forged one", limit, "! c={cbind},r={cnonce}", "> c={cbind},r={nonce},x=1"),
		Entry("a fault that is never found", limit, "  client-final! c={cbind},r={cnonce},p={proof}", "  client-first! {gs2}n={name},r={cnonce},x=1"),
	)
})

// testScram plays a vector with the client, the server or both of protocol/scram, without a connection.
func testScram(client, server bool) func(SpecContext, *fixtures.Vector) {
	return func(ctx SpecContext, v *fixtures.Vector) { Expect(playScram(ctx, v, client, server)).To(Succeed()) }
}

func playScram(ctx context.Context, v *fixtures.Vector, client, server bool) error {
	// A client that accepts too many iterations must not compute for hours.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var peers [2]fixtures.Peer
	if client {
		peers[0] = scramClient(v)
	}
	if server {
		peers[1] = scramServer(v)
	}
	return v.Test(ctx, peers[0], peers[1], withoutTLS)
}

// testStanza plays a stanza for two logins: with both ends, and if the server judges it with the server alone.
func testStanza(ctx context.Context, stanza string) (results []error) {
	all, err := fixtures.ParseVectors(fstest.MapFS{
		"00-logins.txt": {Data: []byte("found: nothing\nplain must RFC 5802 §5: not bound\n" +
			"plus must RFC 9266 §2: bound\n  mechanism: SCRAM-SHA-256-PLUS\n  needs: tls-exporter\n")},
		"03-nonce.txt": {Data: []byte(stanza)},
	})
	Expect(err).NotTo(HaveOccurred())
	for _, v := range all[2:] {
		err := playScram(ctx, &v, true, true)
		if v.Judges("server") {
			err = errors.Join(err, playScram(ctx, &v, false, true))
		}
		results = append(results, err)
	}
	return results
}

func scramClient(v *fixtures.Vector) fixtures.Peer {
	l := v.Login
	c, err := scram.NewClient(scram.ClientConfig{
		Username: l.User, Password: l.Password, Authzid: l.Authzid, Mechanism: l.Mechanism, Keys: &vectorKeys,
		ServerLacksPlus: l.Flag == "y", Binding: scram.ChannelBinding{Type: l.Binding, Data: withoutTLS.Bindings[l.Binding]},
	})
	Expect(err).NotTo(HaveOccurred())
	return peerOf(
		func(context.Context, []byte) ([]byte, error) { return c.First() }, c.Final,
		func(_ context.Context, message []byte) ([]byte, error) { return nil, c.Verify(message) },
	)
}

func scramServer(v *fixtures.Vector) fixtures.Peer {
	cfg := scram.ServerConfig{Mechanism: v.Login.ServerMechanism, PlusOffered: len(v.Login.Bindings) > 0, Lookup: usersOf(v).find}
	for _, binding := range v.Login.Bindings {
		cfg.Bindings = append(cfg.Bindings, scram.ChannelBinding{Type: binding, Data: withoutTLS.Bindings[binding]})
	}
	s := scram.NewServer(cfg)
	return peerOf(
		func(_ context.Context, message []byte) ([]byte, error) { return s.First(message) },
		func(_ context.Context, message []byte) ([]byte, error) { return s.Final(message) },
	)
}

// peerOf makes a peer of the steps of one end. After an error no step may be possible.
func peerOf(steps ...fixtures.PeerFunc) fixtures.Peer {
	next := 0
	return fixtures.PeerFunc(func(ctx context.Context, message []byte) ([]byte, error) {
		next++
		reply, err := steps[next-1](ctx, message)
		if err == nil {
			return reply, nil
		}
		for _, again := range steps {
			if more, err := again(ctx, message); reply != nil || more != nil || !errors.Is(err, scram.ErrSequence) {
				return nil, fixtures.Reason("goes on after an error")
			}
		}
		token, _ := errors.AsType[scram.Error](err)
		return nil, fixtures.Reason(cmp.Or(string(token), err.Error()))
	})
}
