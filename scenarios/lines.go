package scenarios

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// lineVerbs are the verbs of a client that sends lines exactly as the script has them.
func lineVerbs() []verb {
	return []verb{
		{name: "connect", args: "[generic] [resume] [tls=none|1.1|1.2|1.3] [alpn=ID] [certificate=U[:FAULT]]", most: 5, run: doConnect, summary: "make a TLS connection for lines. generic: without ALPN; resume: resume the TLS session of the last connection; tls=none: without TLS; certificate: a client certificate of a user, or one that is expired, not-yet-valid, wrong-usage, any-usage, of an unknown-ca or in another-name"},
		{name: "reaches", args: "STEP [user=U] [password=P] [binding=none|old] [-> NAME]", least: 1, most: 4, logsIn: true, run: doReaches, summary: "log in line by line as far as STEP: command (greeted), client-first (AUTH is answered), client-final (challenged), empty-line (the server has proved itself), seat (the empty line is sent), session (235). The output is the line that comes next. binding=old: bind the login to the last connection. After connect"},
		{name: "authenticates", args: "[LINE...]", most: many, logsIn: true, run: doAuthenticates, summary: "log in line by line as far as the seat, and send these lines in one record with the empty line; after connect"},
		{name: "sends", args: "LINE...", least: 1, most: many, run: doSends, summary: "send lines as they are, in one record, each with CRLF; after connect"},
		{name: "sends-part", args: "TEXT", least: 1, most: 1, run: doSendsPart, summary: "send bytes without CRLF, written as for ask-body: the text itself, hex:HEX, or xN; after connect"},
		{name: "drips", args: "LINE", least: 1, most: 1, run: doDrips, summary: "send a line with CRLF, each byte in a record of its own; after connect"},
		{name: "floods", args: "LINE...", least: 1, most: many, run: doFloods, summary: "send lines again and again, until the peer ends the connection; after connect"},
		{name: "floods-part", args: "TEXT", least: 1, most: 1, run: doFloods, summary: "send text without CRLF again and again; after connect"},
		{name: "hears-tls", args: "nothing|handshake|alert=N", least: 1, most: 1, check: true, run: doHearsTLS, summary: "below TLS the server answers with nothing until it ends the connection, with this fatal alert (RFC 8446 §6) and nothing else, or with a handshake record"},
	}
}

// A connection says how a client connects.
type connection struct {
	// resume resumes the last TLS session, raw connects without TLS.
	resume, raw bool
	// change changes the configuration. Nil changes nothing.
	change func(*tls.Config)
}

func doConnect(ctx context.Context, c *call) (string, error) {
	o, err := parseOptions(c.args, "generic", "resume", "tls", "alpn", "certificate")
	if err != nil {
		return "", err
	}
	certificate, err := o.certificate()
	if err != nil {
		return "", err
	}
	version, err := o.version("tls", "none", "1.1", "1.2", "1.3")
	if err != nil {
		return "", err
	}
	how := connection{resume: o.has("resume"), raw: o["tls"] == "none"}
	how.change = func(config *tls.Config) {
		config.GetClientCertificate = certificate
		if o.has("generic") {
			config.NextProtos = nil
		}
		if o.has("alpn") {
			config.NextProtos = []string{o["alpn"]}
		}
		if version != 0 {
			config.MinVersion, config.MaxVersion = version, version
		}
	}
	return "", c.actor().connect(ctx, how)
}

// connect makes a connection for lines. Its error is a [client.ConnectError] if the handshake fails.
func (a *actor) connect(ctx context.Context, how connection) error {
	addr, config, err := a.where()
	if err != nil {
		return err
	}
	a.mu.Lock()
	if !how.resume || a.sessions == nil {
		a.sessions = tls.NewLRUClientSessionCache(1)
	}
	config.NextProtos, config.ClientSessionCache = []string{protocol.ALPN}, a.sessions
	a.mu.Unlock()
	if how.change != nil {
		how.change(config)
	}
	a.begin()
	defer a.speaks("connects")()
	raw, err := a.dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	l := a.current()
	if how.raw {
		a.carry(l, nil)
		go a.drain(l, nil)
		return nil
	}
	conn := tls.Client(testserver.Checked(raw), config)
	err = conn.HandshakeContext(ctx)
	if err == nil && how.resume && !conn.ConnectionState().DidResume {
		err = errors.New("the TLS session was not resumed")
	}
	if err != nil {
		go a.drain(l, err)
		return &client.ConnectError{Addr: addr, Err: err}
	}
	a.carry(conn, conn)
	go a.read(l, conn)
	return nil
}

// carry sets the connection that carries lines. tlsConn is nil where there is no TLS.
func (a *actor) carry(lines net.Conn, tlsConn *tls.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines, a.tls = lines, tlsConn
}

// turnedAway reports whether the server closed the connection during the handshake, as it does if the
// connection must make room in the lobby.
func turnedAway(err error) bool {
	_, early := errors.AsType[*client.ConnectError](err)
	broken, isBroken := errors.AsType[*net.OpError](err)
	return early && (isBroken && (broken.Op == "read" || broken.Op == "write") ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF))
}

// drain reads a connection without TLS until it ends, for why or for the error of the read. "hears-tls"
// compares what came.
func (a *actor) drain(l *link, why error) {
	buffer := make([]byte, 4<<10)
	for {
		_, err := l.Read(buffer)
		if err != nil {
			_ = l.Close()
			a.over(l, cmp.Or(why, err))
			return
		}
		a.stage.happened()
	}
}

// read reads the server's replies until the connection ends.
func (a *actor) read(l *link, conn *tls.Conn) {
	in := protocol.NewReader(conn)
	for {
		reply, body, err := protocol.ReadReply(in)
		if err == nil && body > 0 {
			reply.Body, err = readBody(in, body)
		}
		if err == nil && reply.Code == protocol.CodePiece {
			err = a.readPiece(l, reply.Text, in)
		}
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			a.over(l, errCut)
			return
		case err != nil:
			a.over(l, err)
			return
		case reply.Code == protocol.CodePiece:
		case reply.Code.Notice():
			a.notice(l, client.Notice{Code: reply.Code, Text: reply.Text})
		default:
			a.hear(l, reply)
		}
	}
}

var errCut = errors.New("cut: the connection ended without close_notify, or within a line")

func readBody(in io.Reader, n int64) ([]byte, error) {
	if n > protocol.DefaultMaxBody {
		return nil, fmt.Errorf("a body of %d bytes is more than %d", n, protocol.DefaultMaxBody)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(in, body)
	return body, err
}

func doSends(ctx context.Context, c *call) (string, error) {
	return "", c.actor().send(ctx, c.args...)
}

// send sends lines in one record.
func (a *actor) send(ctx context.Context, lines ...string) error {
	return a.sendText(ctx, strings.Join(lines, " / "), strings.Join(lines, "\r\n")+"\r\n")
}

func doSendsPart(ctx context.Context, c *call) (string, error) {
	text, err := bodyOf(c.args[0])
	if err != nil {
		return "", err
	}
	return "", c.actor().sendText(ctx, c.args[0], string(text))
}

func (a *actor) sendText(ctx context.Context, shown, text string) error {
	return a.write(ctx, shown, func(lines net.Conn) error {
		_, err := io.WriteString(lines, a.stage.secrets.reveal(text))
		return err
	})
}

func doDrips(ctx context.Context, c *call) (string, error) {
	return "", c.actor().write(ctx, c.args[0]+" (byte by byte)", func(lines net.Conn) error {
		text := c.stage.secrets.reveal(c.args[0]) + "\r\n"
		for i := range len(text) {
			if _, err := io.WriteString(lines, text[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	})
}

// maxFlood is more bytes than a peer may read before it ends the connection.
const maxFlood = 64 << 20

func doFloods(ctx context.Context, c *call) (string, error) {
	text := c.stage.secrets.reveal(strings.Join(c.args, "\r\n"))
	if c.verb.name == "floods" {
		text += "\r\n"
	}
	text = strings.Repeat(text, 1+16<<10/len(text))
	return "", c.actor().write(ctx, strings.Join(c.args, " / ")+" (again and again)", func(lines net.Conn) error {
		for range maxFlood / len(text) {
			if _, err := io.WriteString(lines, text); err != nil {
				return nil
			}
		}
		return fmt.Errorf("the peer has read %d bytes and has not ended the connection", maxFlood)
	})
}

// write calls do, which may wait for the network. It closes the connection if the context ends.
func (a *actor) write(ctx context.Context, shown string, do func(net.Conn) error) error {
	lines, l, err := a.connected(ctx)
	if err == nil && lines == nil {
		err = fmt.Errorf("%s has no connection for lines: connect, and don't log in", a.name)
	}
	if err != nil {
		return err
	}
	defer l.closeAfter(ctx)()
	done := a.speaks(shown)
	err = do(lines)
	done()
	return cmp.Or(ctx.Err(), err)
}

func doHearsTLS(ctx context.Context, c *call) (string, error) {
	want, number, isAlert := strings.Cut(c.args[0], "=")
	alert, err := strconv.Atoi(number)
	if isAlert != (want == "alert") || isAlert && err != nil || !isAlert && want != "nothing" && want != "handshake" {
		return "", fmt.Errorf("%q is none of nothing, handshake and alert=N", c.args[0])
	}
	a := c.actor()
	var heard []byte
	err = a.await(ctx, func() (bool, error) {
		if a.link == nil {
			return false, a.unconnected()
		}
		heard = a.link.first()
		return a.ended != nil || want == "handshake" && len(heard) > 0, nil
	})
	if err != nil {
		return "", err
	}
	if !fitsTLS(heard, want, alert) {
		return "", fmt.Errorf("expected %s\nheard    %x", c.args[0], heard)
	}
	return "", nil
}

// fitsTLS compares what a server has sent below TLS. The version in a record means nothing (RFC 8446 §5.1).
func fitsTLS(heard []byte, want string, alert int) bool {
	const recordAlert, recordHandshake, fatal = 21, 22, 2
	switch want {
	case "nothing":
		return len(heard) == 0
	case "handshake":
		return len(heard) > 0 && heard[0] == recordHandshake
	}
	return len(heard) == 7 && heard[0] == recordAlert && heard[5] == fatal && int(heard[6]) == alert
}
