package scenarios

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
)

// doAuthenticates logs in line by line (RFC 4954 §4), as far as the line that
// asks for the seat; what follows it goes out in the same record.
func doAuthenticates(ctx context.Context, c *call) (string, error) {
	a := c.actor()
	a.mu.Lock()
	wire := a.wire
	a.mu.Unlock()
	if wire == nil {
		return "", fmt.Errorf("%s %w", a.name, errNotConnected)
	}
	conversation, err := a.conversation(wire)
	if err != nil {
		return "", err
	}
	first, err := conversation.First()
	if err != nil {
		return "", err
	}
	challenge, err := a.challenge(ctx, "AUTH "+scram.SHA256Plus+" "+encoded(first))
	if err != nil {
		return "", err
	}
	final, err := conversation.Final(ctx, challenge)
	if err != nil {
		return "", err
	}
	lines := append([]string{encoded(final), ""}, c.args...)
	signature, err := a.challenge(ctx, lines...)
	if err != nil {
		return "", err
	}
	return "", conversation.Verify(signature)
}

func (a *actor) conversation(wire *tls.Conn) (*scram.Client, error) {
	state := wire.ConnectionState()
	binding, err := scram.TLSExporter(state.ExportKeyingMaterial)
	if err != nil {
		return nil, err
	}
	return scram.NewClient(scram.ClientConfig{
		Username: a.stage.user(a.name), Password: a.stage.password(a.name), Mechanism: scram.SHA256Plus,
		Binding: binding, Keys: &keys,
	})
}

// challenge sends lines and takes the 334 that answers the first of them.
func (a *actor) challenge(ctx context.Context, lines ...string) ([]byte, error) {
	if err := a.send(ctx, strings.Join(lines, " / "), strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		return nil, err
	}
	reply, err := a.nextReply(ctx)
	if err != nil {
		return nil, err
	}
	if reply.Code != protocol.CodeChallenge {
		return nil, &refusal{reply}
	}
	return base64.StdEncoding.DecodeString(reply.Text)
}

// refusal is what was said instead of a challenge.
type refusal struct{ reply protocol.Reply }

func (r *refusal) Error() string { return "expected a challenge, heard " + told(r.reply) }

func encoded(p []byte) string { return base64.StdEncoding.EncodeToString(p) }
