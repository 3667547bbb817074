package hostile

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sallyport/sallyport/protocol/scram"
)

// A Client is a client of one protocol: smtp, sallyport, postgres or stdio.
type Client struct {
	Dialect        string
	Fault          Fault
	User, Password string
	TLS            *tls.Config
}

// LastOfClient is the number of the last message of a client.
var LastOfClient = map[string]int{"smtp": 7, "sallyport": 5, "postgres": 5, "stdio": 2}

// Dial connects and logs in. Its error means that it does not believe that it is logged in.
func (c *Client) Dial(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	return c.LogIn(conn)
}

// LogIn logs in on a connection.
func (c *Client) LogIn(conn io.ReadWriteCloser) error {
	w := &wire{filler: "NOOP\r\n", record: []byte("\x16\x03\x01\x00\xf0\x01\x00\x00\xec\x03\x03" + strings.Repeat("r", 200)), tls: c.TLS, fault: c.Fault}
	return run(conn, w, func(w *wire) error {
		login, err := scram.NewClient(scram.ClientConfig{Username: c.User, Password: c.Password, Mechanism: scram.SHA256})
		if err != nil {
			return err
		}
		switch c.Dialect {
		case "postgres":
			w.filler = "H\x00\x00\x00\x04" // Flush
			return c.postgres(w, login)
		case "stdio":
			w.filler = "\n"
			return stdio(w, login)
		}
		return c.lines(w, login)
	})
}

// ask sends lines and returns the last line of the reply, which must begin with code.
func (w *wire) ask(code, line string) (text string, err error) {
	if line != "" {
		if err := w.say(strings.TrimSuffix(line, "\n")); err != nil {
			return "", err
		}
	}
	for {
		text, err := w.line()
		switch {
		case err != nil:
			return "", err
		case !strings.HasPrefix(text, code):
			return "", fmt.Errorf("refused: %s", text)
		case len(text) < 4 || text[3] == ' ':
			return strings.TrimPrefix(text[3:], " "), nil
		}
	}
}

// lines speaks SMTP and Sallyport's protocol.
func (c *Client) lines(w *wire, login *scram.Client) error {
	if c.Dialect == "sallyport" {
		if err := w.secure(tls.Client); err != nil {
			return err
		}
	}
	for _, step := range []struct{ code, line string }{{"220", ""}, {"250", "EHLO localhost"}} {
		if _, err := w.ask(step.code, step.line); err != nil {
			return err
		}
	}
	if c.Dialect == "smtp" {
		if _, err := w.ask("220", "STARTTLS"); err != nil {
			return err
		}
		if err := w.secure(tls.Client); err != nil {
			return err
		}
		if _, err := w.ask("250", "EHLO localhost"); err != nil {
			return err
		}
	}
	return auth(w, login)
}

func auth(w *wire, login *scram.Client) error {
	first, err := login.First()
	if err != nil {
		return err
	}
	challenge, err := w.ask("334", "AUTH SCRAM-SHA-256 "+encode(first))
	if err != nil {
		return err
	}
	final, err := login.Final(context.Background(), decode(challenge))
	if err != nil {
		return err
	}
	signature, err := w.ask("334", encode(final))
	if err == nil {
		err = login.Verify(decode(signature))
	}
	if err == nil {
		_, err = w.ask("235", "\n")
	}
	if err == nil {
		_, err = w.ask("250", "NOOP")
	}
	return err
}

// postgres speaks PostgreSQL's protocol.
func (c *Client) postgres(w *wire, login *scram.Client) error {
	request, _ := (&pgproto3.SSLRequest{}).Encode(nil)
	if _, err := w.Write(request); err != nil {
		return err
	}
	if _, err := w.in.ReadByte(); err != nil {
		return err
	}
	if err := w.secure(tls.Client); err != nil {
		return err
	}
	f := pgproto3.NewFrontend(w.in, w)
	ask := func(m pgproto3.FrontendMessage) (pgproto3.BackendMessage, error) {
		f.Send(m)
		if err := f.Flush(); err != nil {
			return nil, err
		}
		return f.Receive()
	}
	_, err := ask(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": c.User}})
	if err != nil {
		return err
	}
	first, err := login.First()
	if err != nil {
		return err
	}
	m, err := ask(&pgproto3.SASLInitialResponse{AuthMechanism: scram.SHA256, Data: first})
	challenge, ok := m.(*pgproto3.AuthenticationSASLContinue)
	if !ok {
		return fmt.Errorf("%T in place of a challenge: %w", m, err)
	}
	final, err := login.Final(context.Background(), challenge.Data)
	if err != nil {
		return err
	}
	m, err = ask(&pgproto3.SASLResponse{Data: final})
	signature, ok := m.(*pgproto3.AuthenticationSASLFinal)
	if !ok {
		return fmt.Errorf("%T in place of a signature: %w", m, err)
	}
	if err := login.Verify(signature.Data); err != nil {
		return err
	}
	_, err = ask(&pgproto3.Query{String: ";"})
	return err
}

// stdio speaks the dialect of processes.
func stdio(w *wire, login *scram.Client) error {
	first, err := login.First()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, "+ "+encode(first)+"\n"); err != nil {
		return err
	}
	challenge, err := w.line()
	if err != nil {
		return err
	}
	final, err := login.Final(context.Background(), decode(strings.TrimPrefix(challenge, "+ ")))
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, "+ "+encode(final)+"\n"); err != nil {
		return err
	}
	last, err := w.line()
	if err != nil {
		return err
	}
	return login.Verify(decode(strings.TrimPrefix(last, "ok ")))
}
