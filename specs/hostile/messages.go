package hostile

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sallyport/sallyport/protocol/scram"
)

// xmpp speaks XMPP.
func (s *Server) xmpp(w *wire) error {
	in := xml.NewDecoder(w.in)
	var login *scram.Server
	for {
		token, err := in.Token()
		if err != nil {
			return err
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		reply, text := "", ""
		if element.Name.Local != "stream" {
			if err := in.DecodeElement(&text, &element); err != nil {
				return err
			}
		}
		switch element.Name.Local {
		case "stream":
			reply = features(isTLS(w))
		case "starttls":
			reply = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
		case "auth":
			login = s.login()
			reply = stanza("challenge", text, login.First)
		case "response":
			reply = stanza("success", text, login.Final)
		}
		if _, err := io.WriteString(w, reply); err != nil {
			return err
		}
		if element.Name.Local == "starttls" {
			if err := w.serveTLS(); err != nil {
				return err
			}
			in = xml.NewDecoder(w.in)
		}
	}
}

func features(secure bool) string {
	const stream = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'><stream:features>"
	if secure {
		return stream + "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-256</mechanism></mechanisms></stream:features>"
	}
	return stream + "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
}

func stanza(name, text string, step func([]byte) ([]byte, error)) string {
	reply, err := step(decode(text))
	if err != nil {
		return "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>"
	}
	return fmt.Sprintf("<%s xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</%[1]s>", name, encode(reply))
}

// postgres speaks PostgreSQL's protocol.
func (s *Server) postgres(w *wire) error {
	var request [8]byte
	if _, err := io.ReadFull(w.in, request[:]); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "S"); err != nil {
		return err
	}
	if err := w.serveTLS(); err != nil {
		return err
	}
	b := pgproto3.NewBackend(w.in, w)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return err
	}
	ask := func(m pgproto3.BackendMessage, kind uint32) (pgproto3.FrontendMessage, error) {
		b.Send(m)
		if err := b.Flush(); err != nil {
			return nil, err
		}
		if err := b.SetAuthType(kind); err != nil {
			return nil, err
		}
		return b.Receive() // valid until the next call
	}
	reply, err := postgresLogin(s.login(), ask)
	switch {
	case errors.Is(err, errRefused):
		b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "no"})
		return b.Flush()
	case err != nil:
		return err
	}
	b.Send(&pgproto3.AuthenticationSASLFinal{Data: reply})
	if err := b.Flush(); err != nil {
		return err
	}
	b.Send(&pgproto3.AuthenticationOk{})
	return b.Flush()
}

var errRefused = errors.New("refused")

// postgresLogin returns the last message of a login.
func postgresLogin(login *scram.Server, ask func(pgproto3.BackendMessage, uint32) (pgproto3.FrontendMessage, error)) ([]byte, error) {
	m, err := ask(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{scram.SHA256}}, pgproto3.AuthTypeSASL)
	first, ok := m.(*pgproto3.SASLInitialResponse)
	if !ok {
		return nil, cmp.Or(err, errMisbehaved)
	}
	reply, err := login.First(first.Data)
	if err != nil {
		return nil, errRefused
	}
	m, err = ask(&pgproto3.AuthenticationSASLContinue{Data: reply}, pgproto3.AuthTypeSASLContinue)
	final, ok := m.(*pgproto3.SASLResponse)
	if !ok {
		return nil, cmp.Or(err, errMisbehaved)
	}
	if reply, err = login.Final(final.Data); err != nil {
		return nil, errRefused
	}
	return reply, nil
}

// stdio speaks the dialect of processes.
func (s *Server) stdio(w *wire) error {
	login := s.login()
	for _, step := range []struct {
		verb string
		next func([]byte) ([]byte, error)
	}{{"+ ", login.First}, {"ok ", login.Final}} {
		line, err := w.line()
		if err != nil {
			return err
		}
		reply, err := step.next(decode(strings.TrimPrefix(line, "+ ")))
		if err != nil {
			_, err = io.WriteString(w, "no\n")
			return err
		}
		if _, err := io.WriteString(w, step.verb+encode(reply)+"\n"); err != nil {
			return err
		}
	}
	return nil
}
