package probe

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// maxMessage bounds one message of PostgreSQL's protocol.
const maxMessage = 1 << 20

// postgresCaller speaks PostgreSQL's protocol, version 3, to a server.
type postgresCaller struct {
	*Link
	user, database string
	*pgproto3.Frontend
}

func (c *postgresCaller) Open(l *Link) (Offer, error) {
	c.Link = l
	if err := c.encrypt(); err != nil {
		return Offer{}, err
	}
	c.Frontend = pgproto3.NewFrontend(l, l)
	c.SetMaxBodyLen(maxMessage)
	c.Frontend.Send(&pgproto3.StartupMessage{
		ProtocolVersion: pgproto3.ProtocolVersion30,
		Parameters:      map[string]string{"user": c.user, "database": cmp.Or(c.database, c.user)},
	})
	if err := c.Flush(); err != nil {
		return Offer{}, err
	}
	m, err := c.Receive()
	if err != nil {
		return Offer{}, broken(err)
	}
	switch m := m.(type) {
	case *pgproto3.AuthenticationSASL:
		return Offer{Mechanisms: m.AuthMechanisms}, nil
	case *pgproto3.ErrorResponse:
		return Offer{}, fmt.Errorf("%w: %.20q %.200q", errWords, m.Code, m.Message)
	}
	return Offer{}, fmt.Errorf("%w: it wants no SCRAM login of this user, but %T", errWords, m)
}

// encrypt asks for TLS, and begins it if the server agrees. Otherwise it goes on without.
func (c *postgresCaller) encrypt() error {
	request, err := (&pgproto3.SSLRequest{}).Encode(nil)
	if err == nil {
		_, err = c.Write(request)
	}
	if err != nil {
		return err
	}
	switch answer, err := c.ReadByte(); {
	case err != nil:
		return err
	case answer == 'S':
		return c.Upgrade()
	case answer != 'N':
		return fmt.Errorf("%w: it answers SSLRequest with %q", errWords, answer)
	}
	return nil
}

func (c *postgresCaller) Start(mechanism string, initial []byte) (Answer, error) {
	c.Frontend.Send(&pgproto3.SASLInitialResponse{AuthMechanism: mechanism, Data: initial})
	return c.answer()
}

func (c *postgresCaller) Next(response []byte) (Answer, error) {
	c.Frontend.Send(&pgproto3.SASLResponse{Data: response})
	return c.answer()
}

func (c *postgresCaller) Leave() {
	c.Frontend.Send(&pgproto3.Terminate{})
	_ = c.Flush()
}

// answer reads the answer to a SASL message. The server's last message comes right before its success.
func (c *postgresCaller) answer() (Answer, error) {
	if err := c.Flush(); err != nil {
		return Answer{}, err
	}
	var last []byte
	for range maxLines {
		m, err := c.Receive()
		if err != nil {
			return Answer{}, broken(err)
		}
		switch m := m.(type) {
		case *pgproto3.AuthenticationSASLContinue:
			return Answer{Kind: Challenge, Data: append([]byte{}, m.Data...)}, nil
		case *pgproto3.AuthenticationSASLFinal:
			last = append([]byte{}, m.Data...)
		case *pgproto3.AuthenticationOk:
			return Answer{Kind: Success, Data: last, Product: c.product()}, nil
		case *pgproto3.ErrorResponse:
			return Answer{Kind: Refusal, Words: m.Code + " " + m.Message}, nil
		case *pgproto3.NoticeResponse:
		default:
			return Answer{}, fmt.Errorf("%w: %T within the login", errWords, m)
		}
	}
	return Answer{}, errFlood
}

// product returns the version that the server announces after a login, or "".
func (c *postgresCaller) product() string {
	for range maxLines {
		switch m, _ := c.Receive(); m := m.(type) {
		case *pgproto3.ParameterStatus:
			if m.Name == "server_version" {
				return "PostgreSQL " + m.Value
			}
		case nil, *pgproto3.ReadyForQuery, *pgproto3.ErrorResponse:
			return ""
		}
	}
	return ""
}

// broken turns an error of pgproto3 into one of a link. For malformed messages pgproto3 has errors of many kinds.
func broken(err error) error {
	for _, known := range []error{errEnd, errHang, errFlood} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %.200q", errWords, err.Error())
}

// postgresHost speaks PostgreSQL's protocol to a client.
type postgresHost struct {
	*Link
	*pgproto3.Backend
}

func (h *postgresHost) Open(l *Link, mechanisms []string) (mechanism string, initial []byte, err error) {
	h.Link = l
	if h.Backend, err = h.start(); err != nil {
		return "", nil, err
	}
	if err = h.Backend.SetAuthType(pgproto3.AuthTypeSASL); err != nil {
		return "", nil, err
	}
	h.Backend.Send(&pgproto3.AuthenticationSASL{AuthMechanisms: mechanisms})
	m, err := h.next()
	if err != nil {
		return "", nil, err
	}
	first, ok := m.(*pgproto3.SASLInitialResponse)
	if !ok {
		return "", nil, fmt.Errorf("%w: %T in place of SASLInitialResponse", errWords, m)
	}
	return first.AuthMechanism, append([]byte{}, first.Data...), h.Backend.SetAuthType(pgproto3.AuthTypeSASLContinue)
}

// start reads the start of a session, which may begin with requests for encryption.
func (h *postgresHost) start() (*pgproto3.Backend, error) {
	for range maxLines {
		code, err := h.startup()
		switch {
		case err != nil:
			return nil, err
		case code == 80877104: // GSSAPI
			_, err = h.Write([]byte("N"))
		case code == 80877103 && h.secure == nil && h.config != nil:
			if _, err = h.Write([]byte("S")); err == nil {
				err = h.Upgrade()
			}
		case code>>16 == 3:
			b := pgproto3.NewBackend(h.Link, h.Link)
			b.SetMaxBodyLen(maxMessage)
			return b, nil
		default:
			err = fmt.Errorf("%w: a session that begins with %d", errWords, code)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errFlood
}

// startup reads one message without a type, and returns its code. It ignores the user in the message.
func (h *postgresHost) startup() (uint32, error) {
	var head [8]byte
	if _, err := io.ReadFull(h.Link, head[:]); err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n < 8 || n > maxLine {
		return 0, fmt.Errorf("%w: a start of %d bytes", errWords, n)
	}
	_, err := io.CopyN(io.Discard, h.Link, int64(n)-8)
	return binary.BigEndian.Uint32(head[4:]), err
}

// next sends the buffered messages, and reads a message.
func (h *postgresHost) next() (pgproto3.FrontendMessage, error) {
	if err := h.Flush(); err != nil {
		return nil, err
	}
	m, err := h.Receive()
	if err != nil {
		return nil, broken(err)
	}
	return m, nil
}

func (h *postgresHost) Challenge(message []byte) ([]byte, error) {
	h.Backend.Send(&pgproto3.AuthenticationSASLContinue{Data: message})
	m, err := h.next()
	if err != nil {
		return nil, err
	}
	if response, ok := m.(*pgproto3.SASLResponse); ok {
		return append([]byte{}, response.Data...), nil
	}
	return nil, fmt.Errorf("%w: %T in place of SASLResponse", errWords, m)
}

func (h *postgresHost) Succeed(message []byte) (string, error) {
	if message != nil {
		h.Backend.Send(&pgproto3.AuthenticationSASLFinal{Data: message})
	}
	h.Backend.Send(&pgproto3.AuthenticationOk{})
	if err := h.Backend.SetAuthType(pgproto3.AuthTypeOk); err != nil {
		return "", err
	}
	for _, parameter := range [][2]string{{"server_version", "15.0"}, {"client_encoding", "UTF8"}, {"standard_conforming_strings", "on"}} {
		h.Backend.Send(&pgproto3.ParameterStatus{Name: parameter[0], Value: parameter[1]})
	}
	h.Backend.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: make([]byte, 4)})
	h.Backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	return h.serve()
}

// serve answers requests as a database without tables does, until the client leaves.
func (h *postgresHost) serve() (next string, err error) {
	for range maxLines {
		m, err := h.next()
		if err != nil {
			return next, nil
		}
		if _, leaves := m.(*pgproto3.Terminate); leaves {
			return next, nil
		}
		if next == "" {
			next = strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
		}
		switch m.(type) {
		case *pgproto3.Query:
			h.Backend.Send(&pgproto3.EmptyQueryResponse{})
			h.Backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Sync:
			h.Backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Parse:
			h.Backend.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Bind:
			h.Backend.Send(&pgproto3.BindComplete{})
		case *pgproto3.Describe:
			h.Backend.Send(&pgproto3.NoData{})
		case *pgproto3.Execute:
			h.Backend.Send(&pgproto3.EmptyQueryResponse{})
		}
	}
	return next, errFlood
}

func (h *postgresHost) Refuse() error {
	h.Backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "password authentication failed"})
	return h.Flush()
}
