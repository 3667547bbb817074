package scenarios

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/protocol"
)

// hexPrefix begins a body that is written in hex.
const hexPrefix = "hex:"

// bodyOf is a body as a scenario writes it: the text itself, hex:HEX, or xN for
// N times x.
func bodyOf(text string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(text, hexPrefix); ok {
		body, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("the body %.40q is not hex: %w", text, err)
		}
		return body, nil
	}
	if len(text) > 1 {
		if n, err := strconv.Atoi(text[1:]); err == nil && n >= 0 && n <= maxFile {
			return []byte(strings.Repeat(text[:1], n)), nil
		}
	}
	return []byte(text), nil
}

func doHearsBody(ctx context.Context, c *call) (string, error) {
	want, err := bodyOf(c.args[0])
	if err != nil {
		return "", err
	}
	reply, err := c.actor().nextReply(ctx)
	switch {
	case err != nil:
		return "", fmt.Errorf("expected a body of %d octets: %w", len(want), err)
	case reply.Code != protocol.CodeBody:
		return "", fmt.Errorf("expected a body of %d octets\nheard    %s", len(want), told(reply))
	case !bytes.Equal(reply.Body, want):
		return "", fmt.Errorf("expected a body of %d octets, heard one of %d; they differ from octet %d on\nexpected %.80q\nheard    %.80q",
			len(want), len(reply.Body), differ(want, reply.Body), want, reply.Body)
	}
	return "", nil
}

// differ is where two texts begin to differ, from 0.
func differ(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

var errHexPassword = errors.New("the body holds the password, and is not a line of text in which its variable could stand")
