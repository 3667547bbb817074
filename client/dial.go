// Package client is the native client of a Sallyport server. [Dialer.Dial] connects, logs in and
// waits for the seat. The zero [Dialer] is safe: TLS 1.3, a certificate that the system trusts, and
// a login bound to that connection (SCRAM-SHA-256-PLUS, RFC 5802 §6, RFC 9266) in which the server
// proves itself, too. Nothing turns the verification off, or tries again in a weaker form. Then the
// [Client] has the seat, and sends requests.
//
// Errors are told apart with errors.Is and errors.As: a [*ConnectError] where no login was begun;
// [ErrLoginFailed], [ErrServerUnverified], [ErrBindingUnavailable] and [ErrBusy] where it brought no
// seat; a [*protocol.ReplyError] for all that the server refuses, with code 421 where it ended the
// connection; [ErrProtocol] for what it must not say; the context's error.
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

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
)

// BindingMode says whether a login is bound to its TLS connection.
type BindingMode int

// With BindingNone whoever has a certificate that the client trusts can stand between the two ends.
const (
	BindingRequired BindingMode = iota // SCRAM-SHA-256-PLUS, with tls-exporter or on TLS 1.2 tls-server-end-point
	BindingNone                        // SCRAM-SHA-256
)

// Dialer says how to connect and log in. Zero is ready and safe; so is concurrent use.
type Dialer struct {
	// TLSConfig: nil for the system's roots. TLS 1.3 is demanded unless MinVersion is 1.2. NextProtos
	// and Renegotiation are ignored, InsecureSkipVerify is refused. ServerName: "" for addr's host.
	TLSConfig                    *tls.Config
	ChannelBinding               BindingMode     // 0: required
	LoginTimeout                 time.Duration   // until the server is proved; the wait for the seat comes then. 0: 10 s
	MaxBody                      int64           // octets; a larger body ends the connection. 0: protocol.DefaultMaxBody
	MinIterations, MaxIterations int             // what the server may ask for. 0: scram's constants
	Keys                         *scram.KeyCache // spares later logins the iterations. nil: none are kept
	Rand                         io.Reader       // for the nonce. nil: crypto/rand
	NoWait                       bool            // rather fail with ErrBusy than wait for the seat
	OnNotice                     func(Notice)    // called by Dial with the place in the queue. nil: not called

	// DialContext makes the connection. nil: TCP, with keep-alive that finds a dead server in 30 s.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Credentials are what a user logs in with. Authzid is empty or, for a Sallyport server, Username.
type Credentials struct {
	Username string
	Password string `json:"-"`
	Authzid  string
}

// String doesn't give the password.
func (c Credentials) String() string { return fmt.Sprintf("client.Credentials{%q}", c.Username) }

// Format is String, whatever the verb.
func (c Credentials) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// Dial connects to addr ("host:port"), logs in, and returns with the seat. After a failure, of which
// the package comment lists the errors, the connection is closed.
func (d *Dialer) Dial(ctx context.Context, addr string, credentials Credentials) (*Client, error) {
	bounded, cancel := context.WithTimeout(ctx, cmp.Or(d.LoginTimeout, 10*time.Second))
	defer cancel()
	conn, err := d.connect(bounded, addr)
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

// connect keeps what a server sends in the clear out of its errors.
func (d *Dialer) connect(ctx context.Context, addr string) (*tls.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	config, err := d.tlsConfig(host)
	if err != nil {
		return nil, err
	}
	dial := d.DialContext
	if dial == nil {
		probes := net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
		dial = (&net.Dialer{KeepAliveConfig: probes}).DialContext
	}
	raw, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(wire{raw}, config)
	err = conn.HandshakeContext(ctx)
	if notTLS := (tls.RecordHeaderError{}); errors.As(err, &notTLS) {
		err = errors.New("the server does not speak TLS")
	} else if err == nil {
		err = acceptable(conn.ConnectionState())
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// wire makes an error of an end without close_notify, which crypto/tls takes for a good one.
type wire struct{ net.Conn }

func (w wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err == io.EOF {
		err = fmt.Errorf("no close_notify: %w", io.ErrUnexpectedEOF)
	}
	return n, err
}

func (d *Dialer) tlsConfig(host string) (*tls.Config, error) {
	config := cmp.Or(d.TLSConfig, &tls.Config{}).Clone()
	if config.InsecureSkipVerify {
		return nil, errors.New("InsecureSkipVerify is not allowed")
	}
	if config.MinVersion != tls.VersionTLS12 {
		config.MinVersion = tls.VersionTLS13
	}
	config.ServerName = cmp.Or(config.ServerName, host)
	config.NextProtos = []string{protocol.ALPN}
	config.Renegotiation = tls.RenegotiateNever
	config.DynamicRecordSizingDisabled = true // a batch of requests is one record, and one write
	return config, nil
}

// acceptable refuses what could be negotiated and must not be used.
func acceptable(state tls.ConnectionState) error {
	if state.NegotiatedProtocol != protocol.ALPN {
		return errors.New("the server does not speak " + protocol.ALPN)
	}
	if state.Version >= tls.VersionTLS13 {
		return nil
	}
	if _, err := scram.TLSExporter(state.ExportKeyingMaterial); err != nil {
		return errors.New("TLS 1.2 without extended master secret (RFC 7627)")
	}
	return nil
}

// prove has both ends prove themselves. The AUTH doesn't wait for the greeting, and the empty line,
// which asks for the seat, not for the server's proof.
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
	if d.NoWait { // under takeover a place in the queue is not what NoWait is to be spared
		auth = protocol.VerbEhlo + " client\r\n" + auth
		replies = slices.Insert(replies, 1, protocol.CodeDone)
	}
	serverFirst, err := d.ask(c, auth+"\r\n", replies...)
	if err != nil {
		return err
	}
	final, err := conversation.Final(ctx, serverFirst)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrServerUnverified, err)
	}
	serverFinal, err := d.ask(c, base64.StdEncoding.EncodeToString(final)+"\r\n\r\n", protocol.CodeChallenge)
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

// ask writes lines, and reads a reply of each code. The last is a challenge.
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
		c.takesOver = c.takesOver || code == protocol.CodeDone && strings.HasSuffix(challenge, "\nADMISSION takeover")
	}
	return decode(challenge)
}

// decode takes canonical base64 in one line. Strict refuses stray bits, but skips line ends.
func decode(challenge string) ([]byte, error) {
	message, err := base64.StdEncoding.Strict().DecodeString(challenge)
	if err != nil || strings.ContainsAny(challenge, "\r\n") {
		return nil, fmt.Errorf("%w: a challenge that is not base64", ErrProtocol)
	}
	return message, nil
}

// takeSeat waits for the 235.
func (d *Dialer) takeSeat(c *Client) error {
	for {
		reply, _, err := protocol.ReadReply(c.reader)
		switch {
		case err != nil:
			return lost(err)
		case reply.Code == protocol.CodeSeated:
			return nil
		case !reply.Code.Notice():
			return d.refusal(reply)
		case d.NoWait && !c.takesOver && reply.Code == protocol.CodePosition:
			c.write([]byte(protocol.VerbQuit + "\r\n"))
			return ErrBusy
		case d.OnNotice != nil:
			d.OnNotice(Notice{reply.Code, reply.Text})
		}
	}
}

// refusal is the meaning of a reply that was not hoped for.
func (d *Dialer) refusal(reply protocol.Reply) error {
	meaning, err := ErrLoginFailed, reply.Err()
	switch code := reply.Code; {
	case code == protocol.CodeSeated:
		return fmt.Errorf("%w: 235 without a signature", ErrServerUnverified)
	case err == nil:
		return unexpected(code)
	case code == protocol.CodeClosing && !strings.HasPrefix(reply.Text, string(protocol.KeywordBusy)+" "):
		return err
	case code == protocol.CodeClosing:
		meaning = ErrBusy
	case code == protocol.CodeMechanism && d.ChannelBinding != BindingNone:
		meaning = ErrBindingUnavailable
	}
	return fmt.Errorf("%w: %w", meaning, err)
}

// What can go wrong. Where a reply says it, the error is a *protocol.ReplyError as well.
var (
	ErrBusy               = errors.New("client: the seat is taken") // and can't, or shall not, be waited for
	ErrLoginFailed        = errors.New("client: login failed")      // refused, or hopeless with these credentials
	ErrServerUnverified   = errors.New("client: the server did not prove that it knows the password")
	ErrBindingUnavailable = errors.New("client: the login can't be bound to the TLS connection")
	ErrProtocol           = errors.New("client: the server broke the protocol") // or Dialer.MaxBody
	ErrStream             = errors.New("client: the connection is a raw stream")
)

// ConnectError: there is no connection, or no TLS that the Dialer accepts. No login was begun.
type ConnectError struct {
	Addr string
	Err  error
}

// Error has no unprintable characters: a certificate that nobody vouches for may have any name.
func (e *ConnectError) Error() string {
	text := fmt.Sprintf("client: no connection to %s: %v", e.Addr, e.Err)
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }), "?")
}

func (e *ConnectError) Unwrap() error { return e.Err }

// lost says why nothing more can be read.
func lost(err error) error {
	if errors.Is(err, protocol.ErrReply) || errors.Is(err, protocol.ErrSyntax) || errors.Is(err, protocol.ErrLineTooLong) {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return fmt.Errorf("client: connection lost: %w", err)
}

func unexpected(code protocol.Code) error { return fmt.Errorf("%w: a %d here", ErrProtocol, code) }
