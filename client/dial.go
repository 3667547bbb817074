// Package client is the native client of a Sallyport server. [Dialer.Dial] connects, logs in, waits for
// the seat and returns a [Client], which sends requests with [Client.Do]. [Dialer.Stat] says who has the seat.
// Package stream, below this one, joins a program to the server's backend.
//
// The zero [Dialer] is safe. It demands TLS 1.3, a certificate that the system trusts, and a login that
// is bound to the connection (SCRAM-SHA-256-PLUS, RFC 5802 §6, RFC 9266) and proves the server too.
// Nothing turns the verification off, and the client never retries in a weaker form.
//
// Callers distinguish errors with errors.Is and errors.As:
//   - [*ConnectError]: no connection, or no TLS that the Dialer accepts;
//   - [ErrLoginFailed], [ErrServerUnverified], [ErrBindingUnavailable], [ErrBusy]: no seat;
//   - [*protocol.ReplyError]: the server refused; code 421 means that it ended the connection, 454 that it
//     can't read its users now and another Dial may succeed;
//   - [ErrProtocol]: the server broke the protocol; [ErrTooLarge]: a body exceeds MaxBody;
//   - the error of the context.
package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/sallyport/sallyport/client/secure"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/capability"
	"github.com/sallyport/sallyport/protocol/scram"
)

// BindingMode says whether a login is bound to its TLS connection. Zero means that it is.
type BindingMode int

const (
	BindingRequired BindingMode = iota // SCRAM-SHA-256-PLUS, with tls-exporter or on TLS 1.2 tls-server-end-point
	BindingNone                        // SCRAM-SHA-256, which an attacker with a trusted certificate can relay
)

// Dialer connects and logs in. The zero Dialer is ready to use. It is safe for concurrent use.
type Dialer struct {
	// TLSConfig is the TLS configuration. Nil means the system's roots. TLS 1.3 is required unless
	// MinVersion is TLS 1.2. An empty ServerName means addr's host. NextProtos and Renegotiation are
	// ignored. Dial refuses InsecureSkipVerify.
	TLSConfig *tls.Config
	// ChannelBinding is BindingRequired by default.
	ChannelBinding BindingMode
	// LoginTimeout bounds connect, handshake and login, not the wait for the seat. Zero means 10 s.
	LoginTimeout time.Duration
	// MaxBody is the maximum body of a reply in bytes. A larger one ends the connection. Zero means
	// protocol.DefaultMaxBody.
	MaxBody int64
	// MinIterations and MaxIterations bound the PBKDF2 iterations that the server may demand. Zero means
	// scram.MinIterations and scram.MaxIterations.
	MinIterations, MaxIterations int
	// Keys caches PBKDF2 results for later logins. Nil means no cache.
	Keys *scram.KeyCache
	// Rand is the source of the nonce. Nil means crypto/rand.
	Rand io.Reader
	// NoWait makes Dial fail with ErrBusy instead of waiting for the seat. The holder gets no notice, unless
	// the server is too old to offer that.
	NoWait bool
	// OnNotice, if not nil, is called by Dial for each notice while it waits for the seat.
	OnNotice func(Notice)
	// AskTimeouts makes Dial ask the server for its time limits, without a round trip more. Client.Timeouts
	// returns them.
	AskTimeouts bool
	// DialContext makes the connection. Nil means secure.DialTCP.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	errand *errand // of Stat and Watch, otherwise nil
}

// Credentials are the name and password of a user. Authzid is the name of the user to act as; a
// Sallyport server accepts only "" and Username.
type Credentials struct {
	Username string
	Password string `json:"-"`
	Authzid  string
}

// Format omits the password, for every verb.
func (c Credentials) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "client.Credentials{%q}", c.Username)
}

// Dial connects to addr ("host:port"), logs in and waits for the seat. The package comment lists its
// errors. After an error the connection is closed.
func (d *Dialer) Dial(ctx context.Context, addr string, credentials Credentials) (*Client, error) {
	bounded, cancel := context.WithTimeout(ctx, cmp.Or(d.LoginTimeout, 10*time.Second))
	defer cancel()
	conn, err := secure.Dial(bounded, addr, d.TLSConfig, d.DialContext)
	if err != nil {
		return nil, &ConnectError{addr, err}
	}
	c := newClient(conn, cmp.Or(d.MaxBody, protocol.DefaultMaxBody))
	stop := c.guard(bounded)
	err = d.prove(bounded, c, credentials)
	stop()
	if err = cmp.Or(bounded.Err(), err); err == nil {
		defer c.guard(ctx)()
		err = d.takeSeat(c)
	}
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return nil, c.fail(err)
	}
	return c, nil
}

// prove runs the login up to the server's proof. To save round trips it sends AUTH before the greeting
// came, and the empty line, which asks for the seat, together with client-final.
func (d *Dialer) prove(ctx context.Context, c *Client, who Credentials) error {
	config, err := d.scramConfig(c.conn.ConnectionState(), who)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBindingUnavailable, err)
	}
	conversation, err := scram.NewClient(config)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLoginFailed, err)
	}
	first, err := conversation.First()
	if err != nil {
		return err
	}
	auth := protocol.VerbAuth + " " + config.Mechanism + " " + base64.StdEncoding.EncodeToString(first)
	replies := []protocol.Code{protocol.CodeReady, protocol.CodeChallenge}
	word := d.lastWord()
	if word != "" || d.AskTimeouts { // under takeover even a newcomer waits a moment, which NoWait must not refuse
		auth = protocol.VerbEhlo + " client\r\n" + auth
		replies = slices.Insert(replies, 1, protocol.CodeDone)
	}
	serverFirst, err := d.ask(c, auth+"\r\n", replies...)
	if err != nil {
		return err
	}
	if !slices.Contains(c.lastWords, word) {
		if d.errand != nil {
			return d.errand.missing
		}
		word = "" // the empty line
	}
	final, err := conversation.Final(ctx, serverFirst)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrServerUnverified, err)
	}
	last := base64.StdEncoding.EncodeToString(final) + "\r\n" + base64.StdEncoding.EncodeToString([]byte(word)) + "\r\n"
	serverFinal, err := d.ask(c, last, protocol.CodeChallenge)
	if err != nil {
		return err
	}
	if err := conversation.Verify(serverFinal); err != nil {
		return fmt.Errorf("%w: %w", ErrServerUnverified, err)
	}
	return nil
}

func (d *Dialer) scramConfig(state tls.ConnectionState, who Credentials) (config scram.ClientConfig, err error) {
	config = scram.ClientConfig{
		Username: who.Username, Password: who.Password, Authzid: who.Authzid,
		Mechanism: scram.SHA256Plus, Keys: d.Keys, Rand: d.Rand,
		MinIterations: d.MinIterations, MaxIterations: d.MaxIterations,
	}
	switch {
	case d.ChannelBinding == BindingNone:
		config.Mechanism = scram.SHA256
	case state.Version >= tls.VersionTLS13:
		config.Binding, err = scram.TLSExporter(state.ExportKeyingMaterial)
	default:
		config.Binding, err = scram.TLSServerEndPoint(state.PeerCertificates[0])
	}
	return config, err
}

// ask writes lines and reads one reply of each wanted code. It returns the last one's challenge.
func (d *Dialer) ask(c *Client, lines string, want ...protocol.Code) ([]byte, error) {
	if c.reader.Buffered() > 0 {
		return nil, fmt.Errorf("%w: a reply before its command", ErrProtocol)
	}
	c.write([]byte(lines))
	var challenge string
	for _, code := range want {
		reply, _, err := protocol.ReadReply(c.reader)
		if err != nil {
			return nil, lost(err)
		}
		if reply.Code != code {
			return nil, d.refusal(reply)
		}
		challenge = reply.Text
		if code == protocol.CodeDone {
			c.takesOver = strings.HasSuffix(challenge, "\nADMISSION takeover")
			c.timeouts, c.announced = capability.ParseTimeouts(challenge)
			c.lastWords = capability.ParseLastWords(challenge)
		}
	}
	return decode(challenge)
}

// decode decodes canonical base64. Strict refuses stray bits, but ignores line ends.
func decode(challenge string) ([]byte, error) {
	message, err := base64.StdEncoding.Strict().DecodeString(challenge)
	if err != nil || strings.ContainsAny(challenge, "\r\n") {
		return nil, fmt.Errorf("%w: a challenge that is not base64", ErrProtocol)
	}
	return message, nil
}

// Errors of Dial and Client. If a reply caused the error, it is a *protocol.ReplyError as well.
var (
	ErrBusy               = errors.New("client: the seat is taken") // and the queue has no place, or NoWait is set
	ErrLoginFailed        = errors.New("client: login failed")      // refused, or the credentials are unusable
	ErrServerUnverified   = errors.New("client: the server did not prove that it knows the password")
	ErrBindingUnavailable = errors.New("client: the login can't be bound to the TLS connection")
	ErrNoStat             = errors.New("client: the server is too old to say who has the seat") // without a seat
	ErrNoWatch            = errors.New("client: the server lets nobody watch")
	ErrProtocol           = errors.New("client: the server broke the protocol")
	ErrTooLarge           = errors.New("client: the reply is too large")     // its body exceeds Dialer.MaxBody
	ErrStream             = errors.New("client: the connection is a stream") // after Open, or while DoPieces runs
)

// ConnectError means that there is no connection, or no TLS that the Dialer accepts. The client has not
// begun a login.
type ConnectError struct {
	Addr string
	Err  error
}

// Error replaces unprintable characters, because an untrusted certificate may contain anything.
func (e *ConnectError) Error() string {
	text := fmt.Sprintf("client: no connection to %s: %v", e.Addr, e.Err)
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }), "?")
}

func (e *ConnectError) Unwrap() error { return e.Err }

// lost returns the error for a failed read.
func lost(err error) error {
	if errors.Is(err, protocol.ErrReply) || errors.Is(err, protocol.ErrSyntax) || errors.Is(err, protocol.ErrLineTooLong) {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return fmt.Errorf("client: connection lost: %w", err)
}

func unexpected(code protocol.Code) error { return fmt.Errorf("%w: a %d here", ErrProtocol, code) }
