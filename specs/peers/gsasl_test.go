package peers

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os/exec"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/specs/harness"
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
	g := &gsasl{tool: launch(exec.CommandContext(ctx, harness.Tool("gsasl"), arguments...))}
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
func gsaslServer(ctx context.Context, who account, mechanism string) *gsasl {
	GinkgoHelper()
	salt := base64.StdEncoding.EncodeToString([]byte(who.salt))
	g := newGsasl(ctx, "--server", mechanism,
		"-p", who.password, "--salt", salt, "--iteration-count", strconv.Itoa(who.iterations))
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

// bound has gsasl use a binding, or none.
func (g *gsasl) bound(b scram.ChannelBinding) *gsasl {
	g.binding = b.Data
	return g
}

// gsaslProgram can be given the exporter's binding alone.
var gsaslProgram = &peer{
	name: "gsasl", bindings: bindings[:2],
	client: func(ctx context.Context, who account, b scram.ChannelBinding, more ...string) conversation {
		return gsaslClient(ctx, who, mechanism(b), more...).bound(b)
	},
	server: func(ctx context.Context, who account, b scram.ChannelBinding) conversation {
		return gsaslServer(ctx, who, mechanism(b)).bound(b)
	},
	refuses: MatchError(ContainSubstring("Error authenticating user")),
	doubts:  MatchError(ContainSubstring("Error authenticating user")),
}
