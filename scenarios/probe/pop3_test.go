package probe

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// pop3Caller speaks POP3 (RFC 5034) to a server.
type pop3Caller struct{ *Link }

func (c *pop3Caller) Open(l *Link) (Offer, error) {
	c.Link = l
	greeting, err := c.Line()
	if err == nil {
		err = c.Send("CAPA")
	}
	offer := Offer{Banner: strings.TrimPrefix(greeting, "+OK ")}
	for n := 0; err == nil && n < maxLines; n++ {
		var line string
		if line, err = c.Line(); line == "." {
			return offer, err
		}
		if mechanisms, ok := strings.CutPrefix(line, "SASL "); ok {
			offer.Mechanisms = strings.Fields(mechanisms)
		}
	}
	return offer, fmt.Errorf("%w: %.80q: %w", errWords, greeting, err)
}

func (c *pop3Caller) Start(mechanism string, initial []byte) (Answer, error) {
	return c.ask("AUTH " + mechanism + " " + orEqual(initial))
}

func (c *pop3Caller) Next(response []byte) (Answer, error) { return c.ask(encode(response)) }

func (c *pop3Caller) ask(line string) (Answer, error) {
	err := c.Send(line)
	if err == nil {
		line, err = c.Line()
	}
	text, challenge := strings.CutPrefix(line, "+ ")
	switch {
	case err != nil:
		return Answer{}, err
	case challenge:
		data, err := decode(text)
		return Answer{Kind: Challenge, Data: data}, err
	case strings.HasPrefix(line, "+OK"):
		return Answer{Kind: Success, Words: line}, nil
	}
	return Answer{Kind: Refusal, Words: line}, nil
}

func (c *pop3Caller) Leave() { _ = c.Send("QUIT") }

// The worked example of docs/probe.md is this code, and it works.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	own, err := os.ReadFile("pop3_test.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/probe.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(page), "```go\n")
	code, _, _ = strings.Cut(code, "```\n")
	if code == "" || !strings.Contains(string(own), code) {
		t.Error("the example in docs/probe.md is not that of pop3_test.go")
	}
	c := &pop3Caller{}
	offer, err := c.Open(feed(t, "+OK hi\r\n+OK list\r\nUIDL\r\nSASL X SCRAM-SHA-256\r\n.\r\n+ cj1h\r\n+OK in\r\n"))
	if err != nil || len(offer.Mechanisms) != 2 {
		t.Fatalf("%+v, %v", offer, err)
	}
	if a, err := c.Start("SCRAM-SHA-256", []byte("n,,")); err != nil || a.Kind != Challenge || string(a.Data) != "r=a" {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := c.Next(nil); err != nil || a.Kind != Success {
		t.Errorf("%+v, %v", a, err)
	}
}
