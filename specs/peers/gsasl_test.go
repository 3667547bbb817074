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

// gsasl is one side of a login by GNU SASL's program. Its input and output are lines of base64. The program asks for
// the channel binding in between, so it can be bound to a connection of ours.
type gsasl struct {
	*tool
	// binding is the data of tls-exporter. Nil means no binding.
	binding []byte
	// first reports that the first step takes no message, as the client's.
	first bool
	steps int
	// finished reports that both sides are proved.
	finished bool
}

const (
	asksExporter = "Enter base64 encoded tls-exporter channel binding"
	asksUnique   = "Enter base64 encoded tls-unique channel binding"
)

// newGsasl starts the program, which ends after the login because of -d.
func newGsasl(ctx context.Context, side, mechanism string, arguments ...string) *gsasl {
	GinkgoHelper()
	arguments = append([]string{side, "--mechanism", mechanism, "--quiet", "-d"}, arguments...)
	g := &gsasl{tool: launch(exec.CommandContext(ctx, harness.Tool("gsasl"), arguments...))}
	g.out.Split(linesAndPrompts)
	Expect(g.out.Scan()).To(BeTrue())
	Expect(g.out.Text()).To(Equal(mechanism))
	return g
}

// gsaslClient starts a client that logs in as who.
func gsaslClient(ctx context.Context, who account, mechanism string, more ...string) *gsasl {
	GinkgoHelper()
	g := newGsasl(ctx, "--client", mechanism, append([]string{"-a", who.name, "-p", who.password}, more...)...)
	g.first = true
	return g
}

// gsaslServer starts a server that accepts any name with the password of who.
func gsaslServer(ctx context.Context, who account, mechanism string) *gsasl {
	GinkgoHelper()
	salt := base64.StdEncoding.EncodeToString([]byte(who.salt))
	g := newGsasl(ctx, "--server", mechanism,
		"-p", who.password, "--salt", salt, "--iteration-count", strconv.Itoa(who.iterations))
	Expect(g.out.Scan()).To(BeTrue())
	Expect(g.out.Text()).To(BeEmpty(), "a server sends nothing first")
	return g
}

// linesAndPrompts splits the output of gsasl into lines and questions, which have no line end.
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

// Step sends the peer's message to gsasl and returns the next one.
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

// Done reports whether gsasl has sent its last message.
func (g *gsasl) Done() bool { return g.finished }

// Valid reports whether gsasl also finds both sides proved: it reads one more empty line, and fails if not.
func (g *gsasl) Valid() bool { return g.finished && g.give(nil) == nil && g.ended() == nil }

// bound sets the binding that gsasl uses.
func (g *gsasl) bound(b scram.ChannelBinding) *gsasl {
	g.binding = b.Data
	return g
}

// gsaslProgram supports no binding but tls-exporter.
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
