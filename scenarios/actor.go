package scenarios

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// keys spare later logins the iterations, in every run.
var keys scram.KeyCache

// An actor is a client of the cast: the project's own client after a login, or
// after a connect, nothing but lines on TLS.
type actor struct {
	name  string
	stage *stage

	mu      sync.Mutex
	link    *link
	client  *client.Client
	lines   net.Conn // what lines go over after connect: TLS, or what is below it
	tls     *tls.Conn
	before  *tls.Conn  // tls of the last connection
	login   *lineLogin // line by line
	greeted bool       // the greeting was heard
	session session
	rogue   *rogue               // Mallory as the server of a connection; nil for every client
	giveUp  []context.CancelFunc // of what goes on
	heard   []protocol.Reply     // replies that nobody has looked at yet
	notices []string             // likewise
	ended   error                // why the connection is over, or the login failed
	logins  int                  // that go on
	asks    int                  // likewise
}

// where says which server to dial, and whom to trust.
func (a *actor) where() (addr string, config *tls.Config, err error) {
	config = &tls.Config{MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true, KeyLogWriter: &a.stage.keyLog}
	if a.stage.choice.Get("tls") == "1.2" {
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	}
	if l := a.stage.decoyOf(a.name); l != nil {
		config.RootCAs, config.ServerName = l.roots, "127.0.0.1"
		return l.addr, config, nil
	}
	if remote := a.stage.target.Remote; remote != nil {
		config.RootCAs = remote.Roots
		config.ServerName, _, err = net.SplitHostPort(remote.Addr)
		return remote.Addr, config, err
	}
	h, err := a.stage.own()
	if err != nil {
		return "", nil, err
	}
	config.RootCAs, config.ServerName = h.trusted(), "127.0.0.1"
	return h.Addr, config, nil
}

// password of a member of the cast, here.
func (st *stage) password(name string) string {
	if st.target.Remote != nil {
		return st.target.Remote.Passwords[name]
	}
	return testserver.Password(name)
}

// user is who a member of the cast logs in as, here.
func (st *stage) user(name string) string {
	if st.target.Remote != nil && st.target.Remote.Users[name] != "" {
		return st.target.Remote.Users[name]
	}
	return name
}

// dial connects through the network and past Eve.
func (a *actor) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l := newLink(a.stage.eve.Tap(raw), raw.(*net.TCPConn))
	a.mu.Lock()
	a.link = l
	a.mu.Unlock()
	if a.stage.over() { // and nobody else will close it
		return nil, errors.Join(net.ErrClosed, l.Close())
	}
	return l, nil
}

// begin ends the connection that was: what it still brings is for nobody.
func (a *actor) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.link != nil {
		_ = a.link.Close()
	}
	if a.rogue != nil {
		_ = a.rogue.listener.Close()
	}
	if a.tls != nil {
		a.before = a.tls
	}
	a.link, a.client, a.lines, a.tls, a.login, a.greeted, a.rogue = nil, nil, nil, nil, nil, false, nil
	a.heard, a.notices, a.ended = nil, nil, nil
}

// current is the connection, or nil.
func (a *actor) current() *link {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.link
}

// logsIn logs in with the project's client.
func (a *actor) logsIn(ctx context.Context, d *client.Dialer, who client.Credentials) error {
	addr, config, err := a.where()
	if err != nil {
		return err
	}
	defer a.during(&a.logins)()
	ctx, done := a.patience(ctx)
	defer done()
	a.begin()
	d.TLSConfig, d.Keys, d.DialContext = config, &keys, a.dial
	d.OnNotice = func(n client.Notice) { a.notice(a.current(), n) }
	if a.stage.choice.Get("mechanism") == "plain" {
		d.ChannelBinding = client.BindingNone
	}
	said := a.speaks("logs in as " + who.Username)
	c, err := d.Dial(ctx, addr, who)
	said()
	l := a.current()
	if err != nil {
		a.over(l, err)
		return err
	}
	a.answered("235 welcome")
	a.mu.Lock()
	a.client = c
	a.mu.Unlock()
	go a.listen(l, c)
	return nil
}

// during counts what goes on until the function that it returns is called.
func (a *actor) during(count *int) (over func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*count++
	return func() {
		a.mu.Lock()
		*count--
		a.mu.Unlock()
		a.stage.happened()
	}
}

// patience returns a context that also ends when the actor gives up.
func (a *actor) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.giveUp = append(a.giveUp, cancel)
	return ctx, cancel
}

// listen takes what the server says unasked, until it says no more.
func (a *actor) listen(l *link, c *client.Client) {
	for n := range c.Notices() {
		a.notice(l, n)
	}
	// A reply that came before the end is heard before it.
	_ = a.stage.await(a.stage.ctx, func() (bool, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.asks == 0, nil
	})
	a.over(l, c.Err())
}

// takes changes what the actor has heard, if that came from its connection and
// not from the one before.
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

// maxNotices bounds the notices that nobody has looked at; others are dropped.
const maxNotices = 1000

func (a *actor) notice(from *link, n client.Notice) {
	a.mu.Lock()
	full := len(a.notices) >= maxNotices
	a.mu.Unlock()
	if full {
		return
	}
	text := fmt.Sprintf("%d %s", n.Code, n.Text)
	a.takes(from, text, func() { a.notices = append(a.notices, text) })
}

func (a *actor) hear(from *link, r protocol.Reply) {
	a.takes(from, told(r), func() { a.heard = append(a.heard, r) })
}

// over notes that the connection has ended, or was never made, and what the
// server said of it.
func (a *actor) over(from *link, err error) {
	var refused *protocol.ReplyError
	if errors.As(err, &refused) {
		a.hear(from, refused.Reply())
	}
	a.takes(from, "", func() {
		if a.ended == nil {
			a.ended = err
		}
	})
}

// speaks notes what the actor says; the function that it returns is called when
// it has been said.
func (a *actor) speaks(text string) (done func()) {
	seen := a.stage.said(a.name, a.other(), text)
	return func() { seen(a.seen(up)) }
}

// answered notes what the server has said.
func (a *actor) answered(text string) { a.stage.said(a.other(), a.name, text)(a.seen(down)) }

// other is who is at the other end.
func (a *actor) other() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rogue != nil {
		return a.rogue.client
	}
	return "server"
}

func (a *actor) seen(d direction) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.link == nil {
		return nil
	}
	return a.link.seen(d)
}

// seated returns the client; it awaits the end of a login in the background.
func (a *actor) seated(ctx context.Context) (c *client.Client, err error) {
	err = a.stage.await(ctx, func() (bool, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		c = a.client
		switch {
		case c != nil:
			return true, nil
		case a.logins > 0:
			return false, nil
		case a.ended != nil:
			return false, fmt.Errorf("%s's connection is over: %w", a.name, a.ended)
		}
		return false, fmt.Errorf("%s %w", a.name, errNotConnected)
	})
	return c, err
}

// close ends whatever the actor has.
func (a *actor) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.link != nil {
		_ = a.link.Close()
	}
}

// told is a reply on one line.
func told(r protocol.Reply) string {
	text := fmt.Sprintf("%d %s", r.Code, strings.ReplaceAll(r.Text, "\n", " / "))
	if r.Body != nil {
		text += fmt.Sprintf(" %.200q", r.Body)
	}
	return text
}
