package peers

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol/scram"
)

// gsasl is one side of a login by GNU SASL's program in its stdio mode: base64
// lines in and out. It asks for the channel binding in between, so the program
// itself can be bound to a connection of ours, and needs nothing around it.
type gsasl struct {
	*tool
	binding  []byte // tls-exporter's; nil: none
	first    bool   // the client's first step takes no message
	steps    int
	finished bool // both sides are proved
}

const (
	asksExporter = "Enter base64 encoded tls-exporter channel binding"
	asksUnique   = "Enter base64 encoded tls-unique channel binding"
)

// -d has it end after the login.
func newGsasl(ctx context.Context, side, mechanism string, arguments ...string) *gsasl {
	GinkgoHelper()
	arguments = append([]string{side, "--mechanism", mechanism, "--quiet", "-d"}, arguments...)
	g := &gsasl{tool: launch(exec.CommandContext(ctx, need("gsasl"), arguments...))}
	g.out.Split(linesAndPrompts)
	Expect(g.out.Scan()).To(BeTrue())
	Expect(g.out.Text()).To(Equal(mechanism))
	return g
}

// gsaslClient logs in as who.
func gsaslClient(ctx context.Context, who account, mechanism string, more ...string) *gsasl {
	GinkgoHelper()
	g := newGsasl(ctx, "--client", mechanism, append([]string{"-a", who.name, "-p", who.password}, more...)...)
	g.first = true
	return g
}

// gsaslServer takes any name, and the password of who.
func gsaslServer(ctx context.Context, who account, mechanism string, more ...string) *gsasl {
	GinkgoHelper()
	salt := base64.StdEncoding.EncodeToString([]byte(who.salt))
	g := newGsasl(ctx, "--server", mechanism, append([]string{
		"-p", who.password, "--salt", salt, "--iteration-count", strconv.Itoa(who.iterations),
	}, more...)...)
	Expect(g.out.Scan()).To(BeTrue())
	Expect(g.out.Text()).To(BeEmpty(), "a server has nothing to say first")
	return g
}

// linesAndPrompts splits what gsasl prints: its questions don't end their line.
func linesAndPrompts(data []byte, atEOF bool) (advance int, token []byte, err error) {
	i := bytes.IndexAny(data, "\n:")
	switch {
	case i >= 0 && data[i] == '\n':
		return i + 1, data[:i], nil
	case i >= 0 && i+1 < len(data):
		return i + 2, data[:i], nil
	case atEOF && len(data) > 0:
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

// Step gives the peer's message and returns gsasl's.
func (g *gsasl) Step(message string) (string, error) {
	if g.steps++; g.steps > 1 || !g.first {
		if err := g.give([]byte(message)); err != nil {
			return "", err
		}
	}
	for g.out.Scan() {
		var err error
		switch g.out.Text() {
		case asksExporter:
			err = g.give(g.binding)
		case asksUnique:
			err = g.give(nil)
		default:
			answer, err := base64.StdEncoding.Strict().DecodeString(g.out.Text())
			g.finished = g.steps == 2 && !g.first || g.steps == 3
			return string(answer), err
		}
		if err != nil {
			return "", err
		}
	}
	if err := g.ended(); err != nil {
		return "", err
	}
	return "", io.ErrUnexpectedEOF
}

func (g *gsasl) give(message []byte) error {
	_, err := fmt.Fprintln(g.in, base64.StdEncoding.EncodeToString(message))
	return err
}

// Done reports whether it has nothing more to say.
func (g *gsasl) Done() bool { return g.finished }

// Valid reports whether gsasl, too, thinks that both sides are proved. It still
// wants an empty line, and fails if it was not done.
func (g *gsasl) Valid() bool { return g.finished && g.give(nil) == nil && g.ended() == nil }

// gsaslBindings are those that gsasl's program can be given.
var gsaslBindings = bindings[:2]

// bound has gsasl use a binding, or none.
func (g *gsasl) bound(b scram.ChannelBinding) *gsasl {
	g.binding = b.Data
	return g
}

var _ = Describe("A SCRAM conversation with gsasl", Label("peer:gsasl", "rfc:5802", "rfc:7677"), func() {
	mistaken := alice
	mistaken.password = "wrong"

	for _, binding := range gsaslBindings {
		When(strings.TrimSpace("it is "+mechanism(binding)+" "+binding.Type), mechanismLabels(binding), func() {
			for title, who := range accounts {
				It("proves its client to our server, with "+title, func(ctx SpecContext) {
					client := gsaslClient(ctx, who, mechanism(binding)).bound(binding)
					server := ourServer(who, who.verifier(), binding)
					stage, err := theirsToOurs(client, server)
					Expect(err).NotTo(HaveOccurred(), stage)
					Expect(client.Valid()).To(BeTrue())
					Expect([]string{server.Username(), server.Binding()}).To(Equal([]string{who.prepared, binding.Type}))
				}, limit)
				It("proves our client to its server, with "+title, func(ctx SpecContext) {
					client, server := ourClient(who, binding), gsaslServer(ctx, who, mechanism(binding)).bound(binding)
					stage, err := oursToTheirs(ctx, client, server)
					Expect(err).NotTo(HaveOccurred(), stage)
					Expect(client.Verified()).To(BeTrue())
					Expect(server.Valid()).To(BeTrue())
				}, limit)
			}
			It("refuses its client with a wrong password", Label("control"), func(ctx SpecContext) {
				client := gsaslClient(ctx, mistaken, mechanism(binding)).bound(binding)
				stage, err := theirsToOurs(client, ourServer(alice, alice.verifier(), binding))
				Expect(err).To(MatchError(scram.ErrWrongProof))
				Expect(stage).To(Equal(serverFinal))
			}, limit)
			It("has its server refuse our client with a wrong password", Label("control"), func(ctx SpecContext) {
				server := gsaslServer(ctx, alice, mechanism(binding)).bound(binding)
				stage, err := oursToTheirs(ctx, ourClient(mistaken, binding), server)
				Expect(err).To(MatchError(ContainSubstring("Error authenticating user")))
				Expect(stage).To(Equal(serverFinal))
				Expect(server.Valid()).To(BeFalse())
			}, limit)
			It("has its client refuse a server of ours with another ServerKey", Label("control"), func(ctx SpecContext) {
				forged := alice.verifier()
				forged.ServerKey = octets("forged")
				client := gsaslClient(ctx, alice, mechanism(binding)).bound(binding)
				stage, err := theirsToOurs(client, ourServer(alice, forged, binding))
				Expect(err).To(MatchError(ContainSubstring("Error authenticating user")))
				Expect(stage).To(Equal(verified))
				Expect(client.Valid()).To(BeFalse())
			}, limit)
		})
	}

	It("has its server refuse our client with the binding of another session", Label("control", "mech:plus", "rfc:9266"),
		func(ctx SpecContext) {
			server := gsaslServer(ctx, alice, scram.SHA256Plus).bound(bindings[1])
			stage, err := oursToTheirs(ctx, ourClient(alice, elsewhere(bindings[1])), server)
			Expect(err).To(MatchError(ContainSubstring("Error authenticating user")))
			Expect(stage).To(Equal(serverFinal))
		}, limit)
})
