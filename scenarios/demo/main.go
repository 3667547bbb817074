// Command demo shows the purpose of Sallyport in one minute, over real sockets: a server with a temporary state
// directory, two clients, an eavesdropper on the network, and the log at the end. Its exit code is 0 if nothing
// failed.
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/state"
	"github.com/sallyport/sallyport/server/users"
)

const whisper = "only me, please"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "sallyport-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d, err := open(dir)
	if err != nil {
		return err
	}
	steps := []func(context.Context) error{d.alice, d.bobWaits, d.bobIsSeated, d.sniffer, d.stop, d.log}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return errors.Join(err, d.server.Close())
		}
	}
	return nil
}

// demo has the server and the clients of the demonstration.
type demo struct {
	home     state.State
	server   *testserver.Server
	eve      scenarios.Eve
	dialer   client.Dialer
	password map[string]string

	first, second *client.Client
	seated        chan error
	notice        chan client.Notice
}

// open does what "sallyport serve" and "sallyport user add" do.
func open(dir string) (*demo, error) {
	say("A server starts, with a state directory that is removed at the end.")
	d := &demo{password: map[string]string{}, seated: make(chan error, 1), notice: make(chan client.Notice, 16)}
	var err error
	if d.home, err = state.Prepare(dir, nil, time.Now()); err != nil {
		return nil, err
	}
	for _, name := range []string{"alice", "bob"} {
		d.password[name] = rand.Text()
		if err := users.Add(d.home.Users(), name, d.password[name], scram.DefaultIterations); err != nil {
			return nil, err
		}
	}
	pair, err := certs.Load(d.home.Cert(), d.home.Key(), time.Now())
	if err != nil {
		return nil, err
	}
	store, err := users.Open(d.home.Users(), d.home.MockSecret, func(error) {})
	if err != nil {
		return nil, err
	}
	log, err := audit.Open(d.home.Audit(), audit.Options{})
	if err != nil {
		return nil, err
	}
	roots, err := certs.Pool(d.home.CA())
	if err != nil {
		return nil, err
	}
	d.dialer = client.Dialer{TLSConfig: &tls.Config{RootCAs: roots}, DialContext: d.eve.DialContext}
	d.server, err = testserver.Start(func(s *testserver.Server) {
		s.TLSConfig.Certificates = []tls.Certificate{pair}
		s.Server.Users, s.Audit = store, log
	})
	if err != nil {
		return nil, err
	}
	note("listening on %s, with a private CA, a certificate and two users: alice and bob", d.server.Addr)
	return d, nil
}

func (d *demo) alice(ctx context.Context) (err error) {
	say("Alice connects, proves her password with SCRAM-SHA-256-PLUS, and gets the seat: only she is served.")
	if d.first, err = d.dialer.Dial(ctx, d.server.Addr, d.credentials("alice")); err != nil {
		return err
	}
	return ask(ctx, "alice", d.first, "ECHO", whisper)
}

func (d *demo) bobWaits(ctx context.Context) error {
	say("Bob connects, too. His password is right, but there is one seat, so he waits.")
	dialer := d.dialer
	dialer.OnNotice = func(n client.Notice) { d.notice <- n }
	go func() {
		var err error
		d.second, err = dialer.Dial(ctx, d.server.Addr, d.credentials("bob"))
		d.seated <- err
	}()
	select {
	case n := <-d.notice:
		note("bob    hears:  %d %s", n.Code, n.Text)
	case err := <-d.seated:
		return fmt.Errorf("bob did not have to wait: %w", err)
	}
	return ask(ctx, "alice", d.first, "TIME", "")
}

func (d *demo) bobIsSeated(ctx context.Context) error {
	say("Alice leaves. Bob gets the seat at once.")
	left := time.Now()
	if err := d.first.Quit(ctx); err != nil {
		return err
	}
	if err := <-d.seated; err != nil {
		return err
	}
	note("bob has the seat %.1f ms after alice sent QUIT", float64(time.Since(left).Microseconds())/1000)
	if err := ask(ctx, "bob", d.second, "WHOAMI", ""); err != nil {
		return err
	}
	return d.second.Quit(ctx)
}

func (d *demo) sniffer(context.Context) error {
	say("Eve, an eavesdropper, saw all %d bytes on the network. The first of them:", d.eve.Size())
	for _, line := range strings.Split(strings.TrimSpace(hex.Dump(d.eve.Excerpt(64))), "\n") {
		note("%s", line)
	}
	for what, text := range map[string]string{
		"a password": d.password["alice"], "a name": "alice", "a request": whisper, "a command": "ECHO", "a greeting": protocol.ALPN + " ready",
	} {
		if d.eve.Saw(text) {
			return fmt.Errorf("eve saw %s in the clear: %q", what, text)
		}
	}
	note("no name, no password, no request and no reply is among them")
	return nil
}

func (d *demo) stop(context.Context) error {
	return errors.Join(d.server.Stop(), d.server.Audit.Close())
}

func (d *demo) log(context.Context) error {
	say("The server has stopped. Its log, as \"sallyport log show\" shows it:")
	f, err := os.Open(d.home.Audit())
	if err != nil {
		return err
	}
	defer f.Close()
	if err := show.Records(os.Stdout, show.Options{}, audit.File{Name: f.Name(), Reader: f}); err != nil {
		return err
	}
	if _, err := f.Seek(0, 0); err != nil {
		return err
	}
	report, err := audit.Verify(f, "audit.jsonl", "")
	if err != nil {
		return err
	}
	say("\"sallyport log verify\" recomputes its chain: %d lines, nothing edited, dropped or swapped.", report.Lines)
	note("head %s", report.Head)
	return nil
}

func (d *demo) credentials(name string) client.Credentials {
	return client.Credentials{Username: name, Password: d.password[name]}
}

// ask sends one request and shows it with its reply.
func ask(ctx context.Context, who string, c *client.Client, verb, argument string) error {
	note("%-6s asks:   %s", who, strings.TrimSpace(verb+" "+argument))
	reply, err := c.Do(ctx, protocol.Request{Verb: verb, Argument: argument})
	if err != nil {
		return err
	}
	note("%-6s hears:  %d %s", who, reply.Code, reply.Text)
	return nil
}

func say(format string, args ...any)  { fmt.Printf("\n"+format+"\n", args...) }
func note(format string, args ...any) { fmt.Printf("    "+format+"\n", args...) }
