package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// clientPeer is a client under test as the peer of a vector.
type clientPeer struct {
	host    Host
	initial []byte
	steps   int
	*played
}

// Next sends a message of the server, and returns the client's next one.
func (c *clientPeer) Next(_ context.Context, message []byte) ([]byte, error) {
	c.steps++
	var reply []byte
	var err error
	switch {
	case c.over:
	case c.steps == 1:
		return c.initial, nil
	case string(message) == fixtures.Success:
		c.over = true
		c.next, err = c.host.Succeed(nil)
	case string(message) == fixtures.Failure:
		c.over = true
		err = c.host.Refuse()
	case c.steps == 2:
		reply, err = c.host.Challenge(message)
	default:
		c.over = true
		c.next, err = c.host.Succeed(message)
	}
	if err != nil {
		c.broken = err
	}
	return reply, err
}

// files are what the prober lays out for the commands under test.
type files struct {
	dir, ca, password string
	certificate       tls.Certificate
}

func newFiles() (*files, error) {
	dir, err := os.MkdirTemp("", "sallyport-probe-")
	if err != nil {
		return nil, err
	}
	f := &files{dir: dir, ca: filepath.Join(dir, "ca.pem"), password: filepath.Join(dir, "password")}
	f.certificate = testserver.Certificate(testserver.ECDSA)
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.certificate.Certificate[0]})
	return f, os.WriteFile(f.ca, block, 0o600)
}

func (f *files) remove() { _ = os.RemoveAll(f.dir) }

// listen opens the address at which clients under test connect.
func (p *Prober) listen() (err error) {
	if p.Role == ServerRole || p.Target.Dialect == "stdio" {
		return nil
	}
	if p.listener, err = net.Listen("tcp", p.Target.Addr()); err != nil {
		return err
	}
	p.Target.Port = fmt.Sprint(p.listener.Addr().(*net.TCPAddr).Port)
	p.Summary.URL = p.Target.String()
	return nil
}

// fill replaces the placeholders in the command.
func (p *Prober) fill(v *fixtures.Vector) (argv []string, err error) {
	if p.files == nil {
		return p.Command, nil
	}
	if err := os.WriteFile(p.files.password, []byte(v.Login.Password+"\n"), 0o600); err != nil {
		return nil, err
	}
	fill := strings.NewReplacer("{host}", p.Target.Host, "{port}", p.Target.Port, "{ca}", p.files.ca,
		"{user}", v.Login.User, "{password}", v.Login.Password, "{password-file}", p.files.password)
	for _, word := range p.Command {
		argv = append(argv, fill.Replace(word))
	}
	return argv, nil
}

// playClient runs the command once, and plays a vector against it.
func (p *Prober) playClient(ctx context.Context, v *fixtures.Vector, maxVersion uint16) (*played, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*p.Timeout)
	defer cancel()
	argv, err := p.fill(v)
	if err != nil {
		return nil, err
	}
	host := dialects[p.Target.Dialect].host()
	offer := []string{v.Login.ServerMechanism}
	if v.Login.Plus() {
		offer = append(offer, strings.TrimSuffix(v.Login.ServerMechanism, "-PLUS"))
	}
	l, mechanism, initial, err := p.meet(ctx, argv, v, host, offer, maxVersion)
	if p.child != nil {
		defer p.child.end()
	}
	if err != nil {
		return nil, err
	}
	p.Summary.Offered = addNew(p.Summary.Offered, mechanism)
	if state := l.TLS(); state != nil && p.Summary.TLS == "" {
		p.Summary.TLS = tls.VersionName(state.Version)
	}
	got := &played{}
	if mechanism != v.Login.ServerMechanism {
		l.Close()
		return nil, fmt.Errorf("the client chooses %.60q and not %s", mechanism, v.Login.ServerMechanism)
	}
	peer := &clientPeer{host: host, initial: initial, played: got}
	have := fixtures.Facilities{Bindings: l.Bindings(), Foreign: true, Has: p.facilities(), Altered: got.keep}
	got.outcome, got.err = v.Play(ctx, got.tap(v, peer, 0), nil, have)
	if !got.over && got.broken == nil {
		_ = host.Refuse()
	}
	l.Close()
	got.exited0, got.hung = p.child.wait(p.Timeout)
	got.words = p.child.words()
	got.settle(v)
	return got, nil
}

// settle sets the stage of a client that went on to the end, and did not believe it.
func (p *played) settle(v *fixtures.Vector) {
	if p.outcome.Stage == fixtures.Done && !p.believed(ClientRole) {
		p.outcome = fixtures.Outcome{By: "client", Stage: "server-final"}
		if v.Found.Stage == "server-first" && v.Messages[1].Text == "{success}" {
			p.outcome.Stage = "server-first"
		}
	}
}

// meet starts the command, and returns its first connection that begins a login.
func (p *Prober) meet(ctx context.Context, argv []string, v *fixtures.Vector, host Host, offer []string, maxVersion uint16) (l *Link, mechanism string, initial []byte, err error) {
	p.child = nil
	if p.Target.Dialect == "stdio" {
		if l, err = p.startPeer(ctx, argv, v, Account{v.Login.User, v.Login.Password}); err != nil {
			return nil, "", nil, err
		}
		if mechanism, initial, err = host.Open(l, offer); err != nil {
			l.Close()
			err = fmt.Errorf("the command begins no login: %w", err)
		}
		return l, mechanism, initial, err
	}
	if p.child, err = startProcess(ctx, argv, nil, nil, nil, p.Stderr); err != nil {
		return nil, "", nil, err
	}
	tcp := p.listener.(*net.TCPListener)
	_ = tcp.SetDeadline(time.Now().Add(p.Timeout))
	defer p.hurry(tcp)()
	for {
		conn, acceptErr := tcp.Accept()
		if acceptErr != nil {
			return nil, "", nil, p.noLogin(cmp.Or(err, acceptErr))
		}
		if l, mechanism, initial, err = p.greet(ctx, conn, host, offer, maxVersion); err == nil && mechanism != "" {
			return l, mechanism, initial, nil
		}
	}
}

// noLogin ends the command, and returns why there was no login.
func (p *Prober) noLogin(err error) error {
	ended := p.child.hasEnded()
	p.child.end()
	if ended && errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the command ended without a login: %s", cmp.Or(p.child.words(), "it printed nothing"))
	}
	return fmt.Errorf("the command begins no login: %w: %s", err, p.child.words())
}

// hurry ends an Accept soon after the command has ended, which connects no more then. stop ends that.
func (p *Prober) hurry(l *net.TCPListener) (stop func()) {
	ended, stopping, stopped := p.child.done, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-ended:
			_ = l.SetDeadline(time.Now().Add(100 * time.Millisecond))
		case <-stopping:
		}
	}()
	return func() {
		close(stopping)
		<-stopped
	}
}

// greet serves a connection up to client-first.
func (p *Prober) greet(ctx context.Context, conn net.Conn, host Host, offer []string, maxVersion uint16) (*Link, string, []byte, error) {
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	d := dialects[p.Target.Dialect]
	l := newLink(conn, &tls.Config{
		Certificates: []tls.Certificate{p.files.certificate}, MinVersion: tls.VersionTLS12, MaxVersion: maxVersion,
		NextProtos: d.alpn,
	}, p.Timeout)
	l.serving = true
	var err error
	if d.direct {
		err = l.Upgrade()
	}
	var mechanism string
	var initial []byte
	if err == nil {
		mechanism, initial, err = host.Open(l, offer)
	}
	if err != nil || mechanism == "" {
		l.Close()
	}
	return l, mechanism, initial, err
}

func addNew(all []string, one string) []string {
	if slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}
