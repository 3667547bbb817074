package server

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/capability"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/lobby"
	"github.com/sallyport/sallyport/server/socket"
)

// Before the login, failed command number maxErrors ends the connection, and so does a command after
// number maxCommands.
const (
	maxErrors   = 3
	maxCommands = 20
)

var (
	bye = protocol.Reply{Code: protocol.CodeBye, Text: "bye"}
	// strict refuses base64 that is not canonical (RFC 4648 §3.5). It ignores CR and LF, which a line can't contain.
	strict = base64.StdEncoding.Strict()
)

// login serves the commands of the lobby. It returns nil after a successful login, otherwise why the
// connection ends.
func (c *conn) login() error {
	c.reply(protocol.Reply{Code: protocol.CodeReady, Text: c.srv.Name + " sallyport/1 ready"})
	for failed := 0; ; {
		done, err := c.lobbyCommand()
		refused, ok := errors.AsType[*protocol.ReplyError](err)
		c.excused = c.excused || refused == errTemporary
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

// loginLine reads a line of the lobby. One deadline bounds all of them.
func (c *conn) loginLine() ([]byte, error) {
	for {
		line, err := c.line(c.loginBy)
		switch {
		case errors.Is(err, socket.ErrDeadline):
			return nil, errLoginTimeout
		case !errors.Is(err, socket.ErrWoken):
			return line, lineError(err)
		case c.raw.Has(flagShutdown):
			return nil, errShutdown
		}
	}
}

// lobbyCommand serves one command. done means that the login has succeeded or the connection must end;
// otherwise err is the reply.
func (c *conn) lobbyCommand() (done bool, err error) {
	line, err := c.loginLine()
	if err != nil {
		return true, err
	}
	if c.commands++; c.commands > maxCommands {
		return true, errTooManyCommands
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

// capabilities returns the reply to EHLO.
func (c *conn) capabilities() protocol.Reply {
	bindings, l := c.bindings(), c.srv.limits
	wait, admission := c.srv.seat.rules.Wait, c.srv.seat.rules.Name
	ehlo := capability.Ehlo{
		Name: c.srv.Name, Mechanisms: c.mechanisms(bindings), Size: l.Body, Last: c.lastWords(), Admission: admission,
		Timeouts: capability.Timeouts{Idle: l.Idle, Vanish: l.Vanish, Session: l.Session, Wait: wait},
		Stream:   c.native && c.srv.Backend != nil,
	}
	for _, binding := range bindings {
		ehlo.Bindings = append(ehlo.Bindings, binding.Type)
	}
	return protocol.Reply{Code: protocol.CodeDone, Text: ehlo.String()}
}

// lastWords returns the last words that this connection may say.
func (c *conn) lastWords() capability.LastWords {
	return capability.Last(c.native && c.srv.Watch != nil)
}

// mechanisms returns the mechanisms that this connection offers.
func (c *conn) mechanisms(bindings []scram.ChannelBinding) (names []string) {
	if len(bindings) > 0 {
		names = append(names, scram.SHA256Plus)
	}
	if !c.srv.RequireBinding {
		names = append(names, scram.SHA256)
	}
	return names
}

// auth serves AUTH (RFC 4954 §4). A failure before the first 334 leaves the connection open. After it there
// is no second attempt.
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
	x.scram = scram.NewServer(scram.ServerConfig{
		Mechanism: x.mechanism, Bindings: bindings, PlusOffered: len(bindings) > 0, Lookup: x.lookup,
	})
	x.place.Reach(lobby.Proving)
	var message []byte
	switch {
	case !given:
		if _, _, err = c.srv.Users.Lookup(""); err != nil {
			return false, errTemporary
		}
		if message, err = x.ask(nil); err != nil {
			return true, err
		}
	case initial != "=":
		if message, err = strict.DecodeString(initial); err != nil {
			return false, x.fail("malformed", errBase64)
		}
	}
	challenge, err := x.scram.First(message)
	switch {
	case x.unread != nil:
		return !given, errTemporary
	case err != nil:
		return true, x.reject(err)
	}
	return true, x.run(challenge)
}

// exchange is one SCRAM conversation.
type exchange struct {
	*conn
	mechanism string
	scram     *scram.Server
	known     bool           // the user exists
	verifier  scram.Verifier // of the user when the exchange began
	unread    error          // the users can't be read
}

func (x *exchange) lookup(name string) (scram.Verifier, bool) {
	x.verifier, x.known, x.unread = x.srv.Users.Lookup(name)
	return x.verifier, x.known
}

// run runs the exchange from the challenge on. It returns nil if client and server have proved themselves.
func (x *exchange) run(challenge []byte) error {
	if x.srv.penalties.RefusesLogin(x.from, x.scram.Username()) {
		return x.fail("throttled", errThrottled)
	}
	message, err := x.ask(challenge)
	if err != nil {
		return err
	}
	signature, err := x.scram.Final(message)
	if err != nil {
		return x.reject(err)
	}
	if err = x.checkCurrent(); err == nil {
		err = x.approve()
	}
	if err != nil {
		return err
	}
	if message, err = x.ask(signature); err != nil {
		return err
	}
	switch x.lastWord = string(message); {
	case x.lastWord == "", slices.Contains(x.lastWords(), x.lastWord):
	case capability.IsWord(x.lastWord):
		return x.fail("malformed", errLastWord)
	default:
		return x.reject(scram.ErrMalformed)
	}
	x.user = x.scram.Username()
	x.srv.Audit.Info("login.ok", x.id).Str("user", x.user).Str("mechanism", x.mechanism).
		Str("binding", x.scram.Binding()).Send()
	return nil
}

// checkCurrent refuses a user who no longer has the verifier with which the exchange began: who was removed
// or got a new password meanwhile.
func (x *exchange) checkCurrent() error {
	switch v, known, err := x.srv.Users.Lookup(x.scram.Username()); {
	case err != nil:
		return errTemporary
	case !known || !v.Equal(x.verifier):
		return x.reject(scram.ErrWrongProof)
	}
	return nil
}

// approve asks Server.Approve. What it refuses counts as a wrong password, so that nothing tells them apart.
func (x *exchange) approve() error {
	if x.srv.Approve == nil {
		return nil
	}
	err := x.srv.Approve(x.scram.Username(), x.tls.ConnectionState())
	if err == nil {
		return nil
	}
	x.srv.errorLog.Warn("a login with the right password was refused", "conn", x.id, "user", x.scram.Username(), "error", err)
	return x.reject(errNotApproved)
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

// reject logs why the login failed. The reply doesn't say it.
func (x *exchange) reject(why error) error {
	token, ok := errors.AsType[scram.Error](why)
	if !ok {
		token = scram.ErrMalformed
	}
	if token == scram.ErrUnknownUser || token == scram.ErrWrongProof || token == errNotApproved {
		x.excused = true
		x.srv.penalties.Guess(x.from)
	}
	return x.fail(token.Error(), errLoginFailed)
}

func (x *exchange) fail(why string, reply error) error {
	x.srv.Audit.Warn("login.fail", x.id).Str("user", x.loggedName()).Str("mechanism", x.mechanism).
		Str("reason", why).Send()
	return reply
}

// loggedName returns the name for the log: the name of a user, but a keyed hash of any other, which may be
// a password in the wrong place. It is empty before the client has sent a name.
func (x *exchange) loggedName() string {
	if x.scram == nil || x.scram.Username() == "" {
		return ""
	}
	// The work is the same for each name, so that its time doesn't reveal which users exist. After a
	// malformed gs2 header the exchange has not called lookup.
	name, mac := x.scram.Username(), hmac.New(sha256.New, x.srv.NameKey)
	mac.Write([]byte(name))
	hash := "#" + hex.EncodeToString(mac.Sum(nil)[:6])
	_, known, _ := x.srv.Users.Lookup(name)
	if known || x.known || x.srv.LogNames {
		return name
	}
	return hash
}
