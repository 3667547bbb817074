package hostile

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sallyport/sallyport/protocol/scram"
)

// A Server is a server of one protocol, with the users of lookup.
type Server struct {
	// Dialect is the protocol, as in the URL of sallyport probe.
	Dialect string
	Fault   Fault
	// From is the number of the first connection at which it misbehaves, from 0.
	From        int
	Certificate tls.Certificate
	// Lookup finds the verifier of a user.
	Lookup func(name string) (scram.Verifier, bool)

	accepted atomic.Int32
	running  sync.WaitGroup
}

// A Script is the server's side of a protocol.
type Script struct {
	// Offer is the number of the message with the mechanisms, and Last that of the last message.
	Offer, Last int
	play        func(*Server, *wire) error
	filler      string
	// Before is the number of the message before TLS. Zero means that TLS begins before the first message.
	Before int
}

// Scripts are the servers' sides of all protocols.
var Scripts = map[string]Script{
	"smtp":      {play: (*Server).lines, filler: "250-x\r\n", Offer: 4, Last: 7, Before: 3},
	"smtps":     {play: (*Server).lines, filler: "250-x\r\n", Offer: 2, Last: 5},
	"sallyport": {play: (*Server).lines, filler: "120 position 1 holder x\r\n", Offer: 2, Last: 5},
	"imap":      {play: (*Server).imap, filler: "* x\r\n", Offer: 4, Last: 7, Before: 3},
	"imaps":     {play: (*Server).imap, filler: "* x\r\n", Offer: 2, Last: 5},
	"xmpp":      {play: (*Server).xmpp, filler: " \n", Offer: 3, Last: 5, Before: 2},
	"xmpps":     {play: (*Server).xmpp, filler: " \n", Offer: 1, Last: 3},
	"postgres":  {play: (*Server).postgres, filler: "N\x00\x00\x00\x05\x00", Offer: 2, Last: 5, Before: 1},
	"stdio":     {play: (*Server).stdio, filler: "+ cj1h\n", Last: 2},
}

// Serve serves until the listener is closed, and returns when all connections have ended.
func (s *Server) Serve(l net.Listener) {
	defer s.running.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() { _ = s.One(conn) })
	}
}

// One serves one connection.
func (s *Server) One(conn io.ReadWriteCloser) error {
	script := Scripts[s.Dialect]
	w := &wire{filler: script.filler, record: []byte("\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + strings.Repeat("r", 100))}
	w.tls = &tls.Config{Certificates: []tls.Certificate{s.Certificate}, NextProtos: []string{"sallyport/1", "xmpp-client"}}
	if int(s.accepted.Add(1)) > s.From {
		w.fault = s.Fault
	}
	return run(conn, w, func(w *wire) error {
		if script.Before == 0 && s.Dialect != "stdio" {
			if err := w.serveTLS(); err != nil {
				return err
			}
		}
		return script.play(s, w)
	})
}

// login is the server's side of one login.
func (s *Server) login() *scram.Server {
	return scram.NewServer(scram.ServerConfig{Mechanism: scram.SHA256, Lookup: s.Lookup})
}

func isTLS(w *wire) bool {
	_, secure := w.conn.(*tls.Conn)
	return secure
}

func encode(message []byte) string { return base64.StdEncoding.EncodeToString(message) }

func decode(text string) []byte {
	message, _ := base64.StdEncoding.DecodeString(text)
	return message
}

// lines speaks SMTP and Sallyport's protocol.
func (s *Server) lines(w *wire) error {
	err := w.say("220 localhost ready")
	for err == nil {
		var line string
		if line, err = w.line(); err != nil {
			break
		}
		words := strings.Fields(line)
		switch {
		case len(words) == 3 && words[0] == "AUTH":
			err = s.auth(w, words[2])
		case line == "STARTTLS":
			if err = w.say("220 go ahead"); err == nil {
				err = w.serveTLS()
			}
		case line == "QUIT":
			return nil
		case isTLS(w):
			err = w.say("250-localhost", "250 AUTH SCRAM-SHA-256")
		default:
			err = w.say("250-localhost", "250 STARTTLS")
		}
	}
	return err
}

// auth plays a login within SMTP.
func (s *Server) auth(w *wire, first string) error {
	login := s.login()
	reply, err := login.First(decode(first))
	for _, step := range []func([]byte) ([]byte, error){login.Final, nothing} {
		if err != nil {
			return w.say("535 no")
		}
		if err := w.say("334 " + encode(reply)); err != nil {
			return err
		}
		line, errLine := w.line()
		if errLine != nil {
			return errLine
		}
		reply, err = step(decode(line))
	}
	return w.say("235 welcome")
}

func nothing([]byte) ([]byte, error) { return nil, nil }

// imap speaks IMAP.
func (s *Server) imap(w *wire) error {
	err := w.say("* OK ready")
	var login *scram.Server
	var reply []byte
	tag := ""
	for err == nil {
		var line string
		if line, err = w.line(); err != nil {
			break
		}
		words := strings.Fields(line)
		if len(words) > 1 {
			tag = words[0]
		}
		switch {
		case len(words) == 4: // AUTHENTICATE
			login = s.login()
			reply, err = login.First(decode(words[3]))
			err = say(w, err, tag+" NO no", "+ "+encode(reply))
		case len(words) == 1:
			reply, err = login.Final(decode(line))
			err = say(w, err, tag+" NO no", "+ "+encode(reply))
		case line == "":
			err = w.say(tag + " OK welcome")
		case words[1] == "STARTTLS":
			if err = w.say(tag + " OK go ahead"); err == nil {
				err = w.serveTLS()
			}
		case words[1] == "LOGOUT":
			return nil
		default:
			err = w.say("* CAPABILITY IMAP4rev1 "+map[bool]string{true: "SASL-IR AUTH=SCRAM-SHA-256", false: "STARTTLS"}[isTLS(w)], tag+" OK done")
		}
	}
	return err
}

// say says yes, or no where err is an error.
func say(w *wire, err error, no, yes string) error {
	if err != nil {
		return w.say(no)
	}
	return w.say(yes)
}
