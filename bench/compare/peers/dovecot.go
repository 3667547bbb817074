package peers

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/xdg-go/scram"

	"github.com/sallyport/sallyport/bench"
)

// dovecotLogin is IMAP over TLS with SCRAM-SHA-256 (Dovecot 2.3 has no PLUS), the
// first message in the command (RFC 4959), and a NOOP. The client keeps its keys
// from one login to the next, as ours does. Dovecot hands the connection from the
// process of logins to one of the user's.
func (s *servers) dovecotLogin(t bench.T) *bench.Rig {
	t.Helper()
	user, err := scram.SHA256.NewClient(s.User, s.password, "")
	if err != nil {
		t.Fatalf("dovecot: %v", err)
	}
	config := s.tls(tls.X25519)
	return bench.Visits(func() (io.Closer, error) {
		raw, err := dialTLS(s.Dovecot, config)
		if err != nil {
			return nil, err
		}
		c := &imap{raw, bufio.NewReader(raw)}
		return c, c.login(user.NewConversation())
	})
}

// Close says good-bye.
func (c *imap) Close() error {
	if _, err := io.WriteString(c, "z LOGOUT\r\n"); err != nil {
		return errors.Join(err, c.Conn.Close())
	}
	return parted(c.Conn)
}

// imap is as much of a client as it takes.
type imap struct {
	*tls.Conn
	in *bufio.Reader
}

func (c *imap) login(proof *scram.ClientConversation) error {
	if err := c.expect("* OK "); err != nil {
		return err
	}
	first, err := proof.Step("")
	if err != nil {
		return err
	}
	command := "a AUTHENTICATE SCRAM-SHA-256 " + encode(first)
	for !proof.Done() {
		challenge, err := c.challenge(command)
		if err != nil {
			return err
		}
		answer, err := proof.Step(challenge)
		if err != nil {
			return err
		}
		command = encode(answer)
	}
	if err := c.ask("", "a OK "); err != nil {
		return err
	}
	return c.ask("b NOOP", "b OK ")
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// challenge sends a line and reads the server's next message.
func (c *imap) challenge(line string) (string, error) {
	if _, err := io.WriteString(c, line+"\r\n"); err != nil {
		return "", err
	}
	line, err := c.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	text, ok := strings.CutPrefix(line, "+ ")
	if !ok {
		return "", fmt.Errorf("dovecot: %.60q", line)
	}
	message, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	return string(message), err
}

func (c *imap) ask(line, want string) error {
	if _, err := io.WriteString(c, line+"\r\n"); err != nil {
		return err
	}
	return c.expect(want)
}

// expect skips what the server says unasked.
func (c *imap) expect(want string) error {
	for {
		line, err := c.in.ReadString('\n')
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(line, want):
			return nil
		case !strings.HasPrefix(line, "* "):
			return fmt.Errorf("dovecot: %.60q", line)
		}
	}
}
