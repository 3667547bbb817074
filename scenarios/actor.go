package scenarios

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/stream"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// keys caches the PBKDF2 results of all logins of the process.
var keys scram.KeyCache

// An actor is a client of the cast. After "login" it is the project's client, after "connect" a connection for
// lines.
type actor struct {
	name  string
	stage *stage

	mu     sync.Mutex
	link   *link
	client *client.Client
	// lines carries lines after connect: TLS, or TCP without TLS.
	lines net.Conn
	tls   *tls.Conn
	// before is the TLS connection before the current one.
	before *tls.Conn
	// login is the login line by line.
	login *lineLogin
	// greeted means that the script has taken the greeting.
	greeted bool
	// sessions has the TLS session of the last connection.
	sessions tls.ClientSessionCache
	// rogue is Mallory as the server of a connection. Nil for all other actors.
	rogue *rogue
	// cancels end the logins and requests that run.
	cancels []context.CancelFunc
	// heard has the replies that the script has not taken yet, notices the notices.
	heard   []protocol.Reply
	notices []string
	// stream is the last stream of the client. data are bytes of the backend, dataEnd follows them.
	stream  *stream.Stream
	data    unheard
	dataEnd error
	// ended is why the connection ended, or the login failed.
	ended error
	// logins and asks count the logins and requests that run.
	logins, asks int
}

// locked returns f as a function that holds the lock of the actor.
func (a *actor) locked(f func() (bool, error)) func() (bool, error) {
	return func() (bool, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		return f()
	}
}

// await waits until done returns true or an error. It calls done with the lock of the actor.
func (a *actor) await(ctx context.Context, done func() (bool, error)) error {
	return a.stage.await(ctx, a.locked(done))
}

// gone returns an error if the connection has ended. The caller holds the lock.
func (a *actor) gone() error {
	if a.ended == nil {
		return nil
	}
	name := a.name
	if a.rogue != nil {
		name = a.rogue.client
	}
	return fmt.Errorf("%s's connection is over: %w", name, a.ended)
}

// unconnected is the error of an actor without a connection.
func (a *actor) unconnected() error { return fmt.Errorf("%s %w", a.name, errNotConnected) }

// where returns the address of the server, or of Mallory in its place, and a TLS configuration with the
// roots.
func (a *actor) where() (addr string, config *tls.Config, err error) {
	config = &tls.Config{MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true, KeyLogWriter: &a.stage.keyLog}
	if a.stage.choice.get("tls") == "1.2" {
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	}
	if d := a.stage.decoyOf(a.name); d != nil {
		config.RootCAs, config.ServerName = d.roots, "127.0.0.1"
		return d.addr, config, nil
	}
	if remote := a.stage.target.Remote; remote != nil {
		config.RootCAs, config.ServerName = remote.Roots, remote.host()
		return remote.Addr, config, nil
	}
	h, err := a.stage.own()
	if err != nil {
		return "", nil, err
	}
	config.RootCAs, config.ServerName = h.trusted(), "127.0.0.1"
	return h.Addr, config, nil
}

// password returns the password of a member of the cast on this server.
func (st *stage) password(name string) string {
	if st.target.Remote != nil {
		return st.target.Remote.Passwords[name]
	}
	return testserver.Password(name)
}

// user returns the user as which a member of the cast logs in on this server.
func (st *stage) user(name string) string {
	if st.target.Remote != nil && st.target.Remote.Users[name] != "" {
		return st.target.Remote.Users[name]
	}
	return name
}

// dial makes a connection that Eve sees and the network can disturb.
func (a *actor) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l := newLink(a.stage.eve.Tap(raw), raw.(*net.TCPConn))
	a.mu.Lock()
	a.link = l
	a.mu.Unlock()
	if a.stage.over() { // leave has closed the connections before this one
		return nil, errors.Join(net.ErrClosed, l.Close())
	}
	return l, nil
}

// begin closes the last connection, and forgets what came from it.
func (a *actor) begin() {
	a.close()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rogue != nil {
		_ = a.rogue.listener.Close()
	}
	if a.tls != nil {
		a.before = a.tls
	}
	a.link, a.client, a.lines, a.tls, a.login, a.greeted, a.rogue = nil, nil, nil, nil, nil, false, nil
	a.heard, a.notices, a.ended = nil, nil, nil
	a.stream, a.data, a.dataEnd = nil, nil, nil
}

// current returns the connection, or nil.
func (a *actor) current() *link {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.link
}

// dialing is client.Dialer.Dial or client.Dialer.Watch.
type dialing func(ctx context.Context, addr string, who client.Credentials) (*client.Client, error)

// logsIn logs in with the project's client. answer is the reply to a good login.
func (a *actor) logsIn(ctx context.Context, d *client.Dialer, dial dialing, who client.Credentials, answer string) error {
	addr, config, err := a.where()
	if err != nil {
		return err
	}
	ctx, done := a.during(ctx, &a.logins)
	defer done()
	a.begin()
	if d.TLSConfig != nil {
		config.GetClientCertificate = d.TLSConfig.GetClientCertificate
	}
	d.TLSConfig, d.Keys, d.DialContext = config, &keys, a.dial
	d.OnNotice = func(n client.Notice) { a.notice(a.current(), n) }
	if a.stage.choice.get("mechanism") == "plain" {
		d.ChannelBinding = client.BindingNone
	}
	sent := a.speaks("logs in as " + who.Username)
	c, err := dial(ctx, addr, who)
	sent()
	l := a.current()
	if err != nil {
		a.over(l, err)
		return err
	}
	a.answered(answer)
	a.mu.Lock()
	a.client = c
	a.mu.Unlock()
	go a.listen(l, c)
	return nil
}

// during counts something that runs until the caller calls done, and returns a context that also ends when the
// actor gives up.
func (a *actor) during(ctx context.Context, count *int) (running context.Context, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	*count++
	a.cancels = append(a.cancels, cancel)
	return ctx, func() {
		cancel()
		a.mu.Lock()
		*count--
		a.mu.Unlock()
		a.stage.happened()
	}
}

// listen takes the server's notices until the connection ends.
func (a *actor) listen(l *link, c *client.Client) {
	for n := range c.Notices() {
		a.notice(l, n)
	}
	// The end comes after the replies that came before it.
	_ = a.await(a.stage.ctx, func() (bool, error) { return a.asks == 0, nil })
	a.over(l, c.Err())
}

// takes calls change with the lock of the actor, unless from is an earlier connection. It notes a text that
// is not empty as an exchange.
func (a *actor) takes(from *link, text string, change func()) {
	a.mu.Lock()
	stale := a.link != from
	if !stale {
		change()
	}
	a.mu.Unlock()
	if stale {
		return
	}
	if text != "" {
		a.answered(text)
	}
	a.stage.happened()
}

// maxNotices bounds the notices that the script has not taken. More are dropped.
const maxNotices = 1000

func (a *actor) notice(from *link, n client.Notice) {
	a.mu.Lock()
	full := len(a.notices) >= maxNotices
	a.mu.Unlock()
	if full {
		return
	}
	text := a.stage.secrets.hide(fmt.Sprintf("%d %s", n.Code, n.Text))
	a.takes(from, text, func() { a.notices = append(a.notices, text) })
}

func (a *actor) hear(from *link, r protocol.Reply) {
	r = a.stage.secrets.hideReply(r)
	a.takes(from, oneLine(r), func() { a.heard = append(a.heard, r) })
}

// over notes why a connection ended, or failed to open. A refusal in err is a reply as well.
func (a *actor) over(from *link, err error) {
	var refused *protocol.ReplyError
	if errors.As(err, &refused) {
		a.hear(from, refused.Reply())
	}
	a.takes(from, "", func() {
		if a.ended == nil {
			a.ended = a.stage.secrets.hideError(err)
		}
	})
}

// speaks notes an exchange from the actor. The caller calls sent when the bytes have crossed the network.
func (a *actor) speaks(text string) (sent func()) {
	seen := a.stage.exchange(a.name, a.other(), text)
	return func() { seen(a.seen(clientSide)) }
}

// answered notes an exchange to the actor.
func (a *actor) answered(text string) { a.stage.exchange(a.other(), a.name, text)(a.seen(serverSide)) }

// other returns the name of the peer.
func (a *actor) other() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rogue != nil {
		return a.rogue.client
	}
	return "server"
}

func (a *actor) seen(from side) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.link == nil {
		return nil
	}
	return a.link.seen(from)
}

// seated returns the client that has the seat. It waits for a login that runs in the background.
func (a *actor) seated(ctx context.Context) (c *client.Client, err error) {
	err = a.await(ctx, func() (bool, error) {
		if c = a.client; c != nil || a.logins > 0 {
			return c != nil, nil
		}
		return false, cmp.Or(a.gone(), a.unconnected())
	})
	return c, err
}

// close closes the connection.
func (a *actor) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.link != nil {
		_ = a.link.Close()
	}
}

// oneLine returns a reply on one line.
func oneLine(r protocol.Reply) string {
	text := fmt.Sprintf("%d %s", r.Code, strings.ReplaceAll(r.Text, "\n", " / "))
	if r.Body != nil {
		text += fmt.Sprintf(" %.200q", r.Body)
	}
	return text
}
