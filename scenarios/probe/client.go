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
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// clientPeer makes a client under test the peer of a vector.
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

// files are the files that the prober makes for the commands under test.
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

// placeholders are the words that the prober replaces in the command of a client on a network.
var placeholders = []string{"{host}", "{port}", "{ca}", "{user}", "{password}", "{password-file}"}

// braced matches words in the form of a placeholder, and also ${x} and %{x}, which belong to the command.
var braced = regexp.MustCompile(`[$%]?\{[A-Za-z][A-Za-z_-]*\}`)

// checkPlaceholders returns an error for an unknown placeholder, and for one that is not replaced.
func (c *Config) checkPlaceholders() error {
	stdio := c.Target.Dialect == "stdio"
	for _, word := range braced.FindAllString(strings.Join(c.Command, " "), -1) {
		known := slices.Contains(placeholders, word)
		switch {
		case stdio && known:
			return fmt.Errorf("%w%s in COMMAND has no use with stdio: the environment has the account, such as SALLYPORT_USER", ErrUsage, word)
		case !stdio && !known && word[0] == '{':
			return fmt.Errorf("%w%s in COMMAND is none of %s: write { %s } if the command itself needs it",
				ErrUsage, word, strings.Join(placeholders, " "), strings.Trim(word, "{}"))
		}
	}
	return nil
}

// fill replaces the placeholders in the command.
func (p *Prober) fill(v *fixtures.Vector) (argv []string, err error) {
	values := map[string]string{
		"{host}": p.Target.Host, "{port}": p.Target.Port, "{ca}": p.files.ca,
		"{user}": v.Login.User, "{password}": v.Login.Password, "{password-file}": p.files.password,
	}
	for _, word := range p.Command {
		argv = append(argv, braced.ReplaceAllStringFunc(word, func(name string) string {
			if value, known := values[name]; known {
				return value
			}
			return name
		}))
	}
	return argv, os.WriteFile(p.files.password, []byte(v.Login.Password+"\n"), 0o600)
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

// settle sets the stage of a client that went on to the end, but does not count as logged in.
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
	for start := time.Now(); ; {
		ended := p.child.hasEnded() // then it makes no new connection, but an earlier one may wait
		_ = tcp.SetDeadline(time.Now().Add(100 * time.Millisecond))
		conn, acceptErr := tcp.Accept()
		if acceptErr == nil {
			l, mechanism, initial, err = p.greet(ctx, conn, host, offer, maxVersion)
		}
		switch {
		case acceptErr == nil && err == nil && mechanism != "":
			return l, mechanism, initial, nil
		case ctx.Err() != nil || acceptErr != nil && ended || time.Since(start) > p.Timeout:
			return nil, "", nil, p.noLogin(err)
		}
	}
}

// noLogin ends the command, and returns why there was no login. err is the error of its last connection.
func (p *Prober) noLogin(err error) error {
	ended := p.child.hasEnded()
	p.child.end()
	words := cmp.Or(p.child.words(), "it printed nothing")
	switch {
	case ended && err == nil:
		return fmt.Errorf("the command ended without a login: %s", words)
	case ended:
		return fmt.Errorf("the command begins no login: %w: %s", err, words)
	case err == nil || errors.Is(err, errHang):
		return fmt.Errorf("the command neither begins a login nor ends: %w: %s", errHang, words)
	}
	return fmt.Errorf("the command neither begins a login nor ends: %w: %w: %s", errHang, err, words)
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
