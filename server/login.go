package server

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
)

// maxErrors is how many commands may fail before the login.
const maxErrors = 3

var (
	bye = protocol.Reply{Code: protocol.CodeBye, Text: "bye"}
	// strict refuses what is not canonical (RFC 4648 §3.5). It would skip CR and LF, which a line
	// does not hold.
	strict = base64.StdEncoding.Strict()
)

// login serves the lobby's commands until a client has proved itself. It returns nil then, and
// otherwise why the connection ends.
func (c *conn) login() error {
	c.reply(protocol.Reply{Code: protocol.CodeReady, Text: c.srv.Name + " sallyport/1 ready"})
	for failed := 0; ; {
		done, err := c.lobbyCommand()
		refused, ok := errors.AsType[*protocol.ReplyError](err)
		if ok && refused.Code != protocol.CodeClosing {
			if failed++; failed == maxErrors {
				c.reply(refused.Reply())
				return errTooManyErrors
			}
		}
		if done {
			return err
		}
		if ok {
			c.reply(refused.Reply())
		}
		if len(c.out) >= recordSize {
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
}

// loginLine reads a line of the lobby, all of which are under one deadline.
func (c *conn) loginLine() ([]byte, error) {
	for {
		line, err := c.line(c.loginBy)
		switch {
		case errors.Is(err, errDeadline):
			return nil, errLoginTimeout
		case !errors.Is(err, errWoken):
			return line, lineError(err)
		case c.has(flagShutdown):
			return nil, errShutdown
		}
	}
}

// lobbyCommand serves one command. It is done when the login has succeeded or the connection must
// end; otherwise err is what the client is told.
func (c *conn) lobbyCommand() (done bool, err error) {
	line, err := c.loginLine()
	if err != nil {
		return true, err
	}
	verb, argument, _ := bytes.Cut(line, []byte{' '})
	switch string(protocol.AppendUpper(nil, verb)) {
	case protocol.VerbEhlo:
		if len(argument) == 0 {
			return false, errEhloName
		}
		c.reply(c.capabilities())
	case protocol.VerbNoop:
		c.reply(protocol.Reply{Code: protocol.CodeDone, Text: "ok"})
	case protocol.VerbQuit:
		c.reply(bye)
		return true, errQuit
	case protocol.VerbAuth:
		return c.auth(string(argument))
	case protocol.VerbBody:
		return true, errLoginRequired
	default:
		return false, errLoginRequired
	}
	return false, nil
}

// capabilities is the reply to EHLO.
func (c *conn) capabilities() protocol.Reply {
	bindings := c.bindings()
	lines := []string{c.srv.Name}
	if mechanisms := c.mechanisms(bindings); len(mechanisms) > 0 {
		lines = append(lines, "AUTH "+strings.Join(mechanisms, " "))
	}
	if len(bindings) > 0 {
		types := make([]string, len(bindings))
		for i, binding := range bindings {
			types[i] = binding.Type
		}
		lines = append(lines, "CBIND "+strings.Join(types, " "))
	}
	lines = append(lines, "SIZE "+strconv.FormatInt(c.srv.limits.Body, 10), "PIPELINING",
		"ADMISSION "+c.srv.seat.policy.name)
	return protocol.Reply{Code: protocol.CodeDone, Text: strings.Join(lines, "\n")}
}

// mechanisms are those that are offered on this connection.
func (c *conn) mechanisms(bindings []scram.ChannelBinding) (names []string) {
	if len(bindings) > 0 {
		names = append(names, scram.SHA256Plus)
	}
	if !c.srv.RequireBinding {
		names = append(names, scram.SHA256)
	}
	return names
}

// auth is AUTH (RFC 4954 §4). Until the first 334 a failure leaves the connection open; after it
// there is no second attempt.
func (c *conn) auth(argument string) (done bool, err error) {
	name, initial, given := strings.Cut(argument, " ")
	if name == "" {
		return false, errAuthForm
	}
	bindings := c.bindings()
	x := exchange{conn: c, mechanism: string(protocol.AppendUpper(nil, []byte(name)))}
	if !slices.Contains(c.mechanisms(bindings), x.mechanism) {
		return false, errMechanism
	}
	if c.srv.lobby.throttled(c.from) {
		return true, x.fail("throttled", errThrottled)
	}
	x.scram = scram.NewServer(scram.ServerConfig{
		Mechanism: x.mechanism, Bindings: bindings, PlusOffered: len(bindings) > 0, Lookup: x.lookup,
	})
	var message []byte
	switch {
	case !given:
		if message, err = x.ask(nil); err != nil {
			return true, err
		}
	case initial != "=":
		if message, err = strict.DecodeString(initial); err != nil {
			return false, x.fail("malformed", errBase64)
		}
	}
	return true, x.run(message)
}

// exchange is one SCRAM conversation.
type exchange struct {
	*conn
	mechanism string
	scram     *scram.Server
	known     bool           // the name is one of a user
	verifier  scram.Verifier // that the user had when the exchange began
}

func (x *exchange) lookup(name string) (scram.Verifier, bool) {
	x.verifier, x.known = x.srv.Users.Lookup(name)
	return x.verifier, x.known
}

// run is the exchange from the first message on. It returns nil when the client has proved itself
// and knows that the server has, too.
func (x *exchange) run(message []byte) error {
	challenge, err := x.scram.First(message)
	if err != nil {
		return x.reject(err)
	}
	if message, err = x.ask(challenge); err != nil {
		return err
	}
	signature, err := x.scram.Final(message)
	if err != nil {
		return x.reject(err)
	}
	if !x.current() {
		return x.reject(scram.ErrWrongProof)
	}
	if message, err = x.ask(signature); err != nil {
		return err
	}
	if len(message) != 0 {
		return x.reject(scram.ErrMalformed)
	}
	x.user = x.scram.Username()
	x.srv.Audit.Info("login.ok", x.id).Str("user", x.user).Str("mechanism", x.mechanism).
		Str("binding", x.scram.Binding()).Send()
	return nil
}

// current reports whether the user still has the verifier that the exchange began with: who is
// removed, or gets a new password, meanwhile stays out.
func (x *exchange) current() bool {
	v, known := x.srv.Users.Lookup(x.scram.Username())
	return known && v.Equal(x.verifier)
}

// ask sends a challenge and returns the client's answer.
func (x *exchange) ask(challenge []byte) ([]byte, error) {
	x.reply(protocol.Reply{Code: protocol.CodeChallenge, Text: strict.EncodeToString(challenge)})
	line, err := x.loginLine()
	switch {
	case errors.Is(err, errLoginTimeout):
		return nil, x.fail("timeout", err)
	case err != nil:
		return nil, err
	case string(line) == "*":
		return nil, x.fail("cancelled", errCancelled)
	}
	answer, err := strict.DecodeString(string(line))
	if err != nil {
		return nil, x.fail("malformed", errBase64)
	}
	return answer, nil
}

// reject logs why, and tells the client nothing but that it failed.
func (x *exchange) reject(why error) error {
	token, ok := errors.AsType[scram.Error](why)
	if !ok {
		token = scram.ErrMalformed
	}
	if token == scram.ErrUnknownUser || token == scram.ErrWrongProof {
		x.srv.lobby.fail(x.from)
	}
	return x.fail(token.Error(), errLoginFailed)
}

func (x *exchange) fail(why string, told error) error {
	x.srv.Audit.Warn("login.fail", x.id).Str("user", x.loggedName()).Str("mechanism", x.mechanism).
		Str("reason", why).Send()
	return told
}

// loggedName is the name for the log: as it is where it is a user's, a keyed hash where it may be a
// password in the wrong place, empty before it is known.
func (x *exchange) loggedName() string {
	if x.scram == nil || x.scram.Username() == "" {
		return ""
	}
	// All of this is always done, so that time doesn't tell who exists. A gs2 header that fails comes
	// before the exchange has looked.
	name, mac := x.scram.Username(), hmac.New(sha256.New, x.srv.NameKey)
	mac.Write([]byte(name))
	hash := "#" + hex.EncodeToString(mac.Sum(nil)[:6])
	_, known := x.srv.Users.Lookup(name)
	if known || x.known || x.srv.LogNames {
		return name
	}
	return hash
}
