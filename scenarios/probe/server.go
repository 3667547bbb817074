package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/fixtures"
)

// serverPeer makes a server under test the peer of a vector.
type serverPeer struct {
	caller    Caller
	mechanism string
	steps     int
	*played
}

var errRefused = errors.New("refused")

// Next sends a message of the client, and returns the challenge. With client-final it ends the login, so that the
// server's success counts and not its signature alone.
func (s *serverPeer) Next(_ context.Context, message []byte) ([]byte, error) {
	s.steps++
	var a Answer
	var err error
	if s.steps == 1 {
		a, err = s.caller.Start(s.mechanism, message)
	} else {
		a, err = s.caller.Next(message)
	}
	if err == nil && s.steps == 2 && a.Kind == Challenge && !strings.HasPrefix(string(a.Data), "e=") {
		signature := a.Data
		a, err = s.caller.Next(nil)
		a.Data = signature
	}
	if err != nil {
		s.broken = err
		return nil, err
	}
	s.product = cmp.Or(a.Product, s.product)
	if a.Words != "" && a.Kind != Challenge {
		s.words = a.Words
	}
	switch {
	case a.Kind == Refusal:
		return nil, errRefused
	case strings.HasPrefix(string(a.Data), "e="):
		s.words = string(a.Data)
		return nil, errRefused
	case a.Kind == Success && s.steps == 1:
		s.early = true
		return nil, errRefused
	}
	return a.Data, nil
}

// tlsConfig returns the configuration of the client that the prober plays.
func (p *Prober) tlsConfig(maxVersion uint16) *tls.Config {
	name := p.Target.Host
	if strings.HasPrefix(p.Target.Dialect, "xmpp") && p.Target.Path != "" {
		name = p.Target.Path
	}
	return &tls.Config{
		RootCAs: p.Roots, ServerName: name, NextProtos: dialects[p.Target.Dialect].alpn,
		MinVersion: tls.VersionTLS12, MaxVersion: maxVersion,
	}
}

// call connects to the server under test, or starts it, and reads its offer.
func (p *Prober) call(ctx context.Context, v *fixtures.Vector, maxVersion uint16) (*Link, Caller, Offer, error) {
	d := dialects[p.Target.Dialect]
	caller := d.caller(p.Target, Account{v.Login.User, v.Login.Password})
	var l *Link
	var err error
	if p.Target.Dialect == "stdio" {
		l, err = p.startServer(ctx, v)
	} else {
		l, err = p.dial(ctx, d, maxVersion)
	}
	if err != nil {
		return nil, nil, Offer{}, err
	}
	offer, err := caller.Open(l)
	if err == nil && l.TLS() == nil && l.conn != nil && !isLoopback(l.conn.RemoteAddr()) {
		err = fmt.Errorf("%w: it offers no TLS", errWords)
	}
	if err != nil {
		l.Close()
		return nil, nil, offer, err
	}
	return l, caller, offer, nil
}

func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

func (p *Prober) dial(ctx context.Context, d dialect, maxVersion uint16) (*Link, error) {
	dialer := net.Dialer{Timeout: p.Timeout, Control: p.allow}
	conn, err := dialer.DialContext(ctx, "tcp", p.Target.Addr())
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	l := newLink(conn, p.tlsConfig(maxVersion), p.Timeout)
	if d.direct {
		if err := l.Upgrade(); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// startServer starts a process that plays the server.
func (p *Prober) startServer(ctx context.Context, v *fixtures.Vector) (*Link, error) {
	name, password, _ := v.Account()
	if !v.Login.Known {
		name = "alice"
	}
	return p.startPeer(ctx, p.Command, v, Account{name, password})
}

// startPeer starts a process that speaks the dialect stdio. It ends with ctx.
func (p *Prober) startPeer(ctx context.Context, argv []string, v *fixtures.Vector, who Account) (*Link, error) {
	binding := stdioBindings[v.Login.Binding]
	if !v.Login.Plus() {
		binding = ""
	}
	plus := "0"
	if len(v.Login.Bindings) > 0 && v.Login.Flag != "y" || slices.Contains(v.Needs, "plus") {
		plus = "1"
	}
	env := []string{
		"SALLYPORT_MECHANISM=" + v.Login.ServerMechanism, "SALLYPORT_USER=" + who.Name, "SALLYPORT_PASSWORD=" + who.Password,
		"SALLYPORT_PLUS_OFFERED=" + plus, "SALLYPORT_BINDING_TYPE=" + v.Login.Binding, "SALLYPORT_BINDING=" + encode([]byte(binding)),
	}
	if binding == "" {
		env = append(env, "SALLYPORT_BINDING_TYPE=")
	}
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirIn.Close(), ourOut.Close())
	}
	p.child, err = startProcess(ctx, argv, env, theirIn, theirOut, p.Stderr)
	_, _ = theirIn.Close(), theirOut.Close()
	if err != nil {
		return nil, errors.Join(err, ourIn.Close(), ourOut.Close())
	}
	l := pipes(ourIn, ourOut)
	l.files, l.bindings = []*os.File{ourIn, ourOut}, map[string][]byte{}
	l.timeout = p.Timeout
	for name, data := range stdioBindings {
		l.bindings[name] = []byte(data)
	}
	return l, nil
}

// stdioBindings are made-up bindings for processes, which have no connection.
var stdioBindings = map[string]string{
	"tls-exporter": "0123456789abcdef0123456789abcdef", "tls-server-end-point": "fedcba9876543210fedcba9876543210",
}

// playServer plays a vector against a server. Its error means that the server could not be reached.
func (p *Prober) playServer(ctx context.Context, v *fixtures.Vector, maxVersion uint16) (*played, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*p.Timeout)
	defer cancel()
	p.child = nil
	l, caller, offer, err := p.call(ctx, v, maxVersion)
	if p.child != nil {
		defer p.child.end()
	}
	if err != nil {
		return nil, err
	}
	defer l.Close()
	p.learn(l, offer)
	got := &played{}
	if state := l.TLS(); state != nil {
		got.version = state.Version
	}
	peer := &serverPeer{caller: caller, mechanism: v.Login.ServerMechanism, played: got}
	have := fixtures.Facilities{Bindings: l.Bindings(), Foreign: true, Has: p.facilities(), Altered: got.keep}
	got.outcome, got.err = v.Play(ctx, nil, got.tap(v, peer, 1), have)
	if ctx.Err() != nil && got.broken == nil {
		got.broken = errHang // in the middle of an answer
	}
	caller.Leave()
	p.Summary.Peer = cmp.Or(p.Summary.Peer, got.product)
	return got, nil
}

// learn stores the server's product, mechanisms and version of TLS.
func (p *Prober) learn(l *Link, offer Offer) {
	if p.Summary.Offered == nil {
		p.Summary.Offered = offer.Mechanisms
	}
	if p.Summary.Peer == "" {
		p.Summary.Peer = offer.Banner
	}
	p.noTLS = len(l.Bindings()) == 0
	if state := l.TLS(); state != nil && p.Summary.TLS == "" {
		p.Summary.TLS = tls.VersionName(state.Version)
	}
}

// facilities returns the abilities of the peer, apart from its bindings.
func (p *Prober) facilities() []string {
	has := []string{"saslprep", "carrier"}
	if !dialects[p.Target.Dialect].short {
		has = append(has, "long-messages")
	}
	plus := slices.ContainsFunc(p.Summary.Offered, func(m string) bool { return strings.HasSuffix(m, "-PLUS") })
	if plus || p.configurable() {
		has = append(has, "plus")
	}
	if !plus || p.configurable() {
		has = append(has, "no-plus")
	}
	return has
}

// configurable reports whether the prober chooses the server's offer: it plays the server, or sets the variables of a
// process.
func (p *Prober) configurable() bool { return p.Role == ClientRole || p.Target.Dialect == "stdio" }

// tap records the messages of an exchange. step is the first message that peer gets.
func (p *played) tap(v *fixtures.Vector, peer fixtures.Peer, step int) fixtures.Peer {
	return fixtures.PeerFunc(func(ctx context.Context, message []byte) ([]byte, error) {
		sides := [...]string{"client", "server"}
		if !p.over && (message != nil || step > 0) {
			m := v.Messages[min(max(step-1, 0), 3)]
			p.transcript = append(p.transcript, Message{
				From: sides[(step+1)%2], Text: string(message), Altered: m.Mark == fixtures.Altered || m.Mark == fixtures.InTransit, Own: p.own,
			})
			p.own = ""
		}
		reply, err := peer.Next(ctx, message)
		if err == nil && reply != nil {
			p.transcript = append(p.transcript, Message{From: sides[step%2], Text: string(reply)})
		}
		step += 2
		return reply, err
	})
}

// keep stores the next altered message without its fault, for the transcript.
func (p *played) keep(own string) { p.own = own }
