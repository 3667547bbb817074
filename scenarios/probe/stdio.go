package probe

import (
	"errors"
	"fmt"
	"strings"
)

// errCancelled means that the client under test has cancelled the login.
var errCancelled = errors.New("the client cancelled the login")

// stdioCaller speaks the dialect stdio to a process that plays the server.
type stdioCaller struct{ *Link }

func (c *stdioCaller) Open(l *Link) (Offer, error) {
	c.Link = l
	return Offer{}, nil
}

func (c *stdioCaller) Start(_ string, initial []byte) (Answer, error) { return c.Next(initial) }

func (c *stdioCaller) Next(response []byte) (Answer, error) {
	if _, err := fmt.Fprintf(c, "+ %s\n", orEqual(response)); err != nil {
		return Answer{}, err
	}
	line, err := c.Line()
	if err != nil {
		return Answer{}, err
	}
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "+":
		data, err := decode(rest)
		return Answer{Kind: Challenge, Data: data}, err
	case "ok":
		if rest == "" {
			return Answer{Kind: Success}, nil
		}
		data, err := decode(rest)
		return Answer{Kind: Success, Data: data}, err
	case "no":
		return Answer{Kind: Refusal, Words: line}, nil
	}
	return Answer{}, fmt.Errorf("%w: %.80q begins with none of +, ok and no", errWords, line)
}

func (c *stdioCaller) Leave() {}

// stdioHost speaks the dialect stdio to a process that plays the client.
type stdioHost struct{ *Link }

func (h *stdioHost) Open(l *Link, mechanisms []string) (string, []byte, error) {
	h.Link = l
	initial, err := h.message()
	return mechanisms[0], initial, err
}

func (h *stdioHost) message() ([]byte, error) {
	line, err := h.Line()
	if err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(line, "+ ")
	if !ok {
		return nil, fmt.Errorf("%w: %.80q does not begin with +", errWords, line)
	}
	return decode(text)
}

func (h *stdioHost) Challenge(message []byte) ([]byte, error) {
	if _, err := fmt.Fprintf(h, "+ %s\n", orEqual(message)); err != nil {
		return nil, err
	}
	return h.message()
}

func (h *stdioHost) Succeed(message []byte) (string, error) {
	line := "ok\n"
	if message != nil {
		line = "ok " + orEqual(message) + "\n"
	}
	_, err := h.Write([]byte(line))
	return "", err
}

func (h *stdioHost) Refuse() error {
	_, err := h.Write([]byte("no authentication failed\n"))
	return err
}
