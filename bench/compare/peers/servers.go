package peers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/redis/go-redis/v9"
	"github.com/xdg-go/scram"

	"github.com/sallyport/sallyport/bench"
)

// servers are those that servers.sh has started, and how to reach them.
type servers struct {
	dir string
	// addrs are by the server's name: host:port.
	addrs    map[string]string
	password string
	roots    *x509.CertPool
}

// user is who logs in at the servers.
const user = "peer"

// load reads what servers.sh has written.
func load(dir string) (s servers, err error) {
	if dir == "" {
		return s, nil
	}
	list, failed := os.ReadFile(filepath.Join(dir, "servers.json"))
	password, err := os.ReadFile(filepath.Join(dir, "password"))
	ca, caErr := os.ReadFile(filepath.Join(dir, "ca.pem"))
	s = servers{dir: dir, password: strings.TrimSpace(string(password)), roots: x509.NewCertPool()}
	s.roots.AppendCertsFromPEM(ca)
	return s, errors.Join(failed, err, caErr, json.Unmarshal(list, &s.addrs))
}

// tls trusts the servers alone. Their OpenSSL 3.0 knows no hybrid key exchange: the client would make a
// key for nothing, or have to ask twice. So it offers the curve that the server takes, which is less
// work than the product's.
func (s servers) tls(curve tls.CurveID) *tls.Config {
	return &tls.Config{
		RootCAs: s.roots, ServerName: "localhost", MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{curve},
	}
}

// dialTLS bounds all that is done with the connection.
func dialTLS(addr string, config *tls.Config) (*tls.Conn, error) {
	deadline := time.Now().Add(bench.Patience)
	c, err := tls.DialWithDialer(&net.Dialer{Deadline: deadline}, "tcp", addr, config)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(deadline)
}

// postgresLogin is SCRAM-SHA-256-PLUS, which pgx is told to demand, and "select 1", with pgconn, the
// layer below pgx.Conn and its caches. PostgreSQL forks for each connection and reads its catalogue. pgx
// keeps no keys: each login derives them, with 4096 iterations, PostgreSQL's default.
func (s servers) postgresLogin(t bench.T) *bench.Rig {
	config, err := pgconn.ParseConfig("sslmode=verify-full channel_binding=require")
	bench.Check(t, err)
	addr, err := netip.ParseAddrPort(s.addrs["postgres"])
	bench.Check(t, err)
	config.ConnectTimeout = bench.Patience
	config.Host, config.Port, config.User, config.Password, config.Database = addr.Addr().String(), addr.Port(), user, s.password, "postgres"
	// PostgreSQL 15 takes this curve unless it is told to take another of NIST's.
	config.TLSConfig, config.Fallbacks = s.tls(tls.CurveP256), nil
	ctx := context.Background()
	return bench.Connections(func() (func() error, error) {
		c, err := pgconn.ConnectConfig(ctx, config)
		if err != nil {
			return nil, err
		}
		_ = c.Conn().SetDeadline(time.Now().Add(bench.Patience))
		results, err := c.Exec(ctx, "select 1").ReadAll()
		if err == nil && (len(results) != 1 || string(results[0].Rows[0][0]) != "1") {
			err = errors.New("postgres: 1 is not 1")
		}
		return func() error {
			bare, err := c.Hijack() // pgconn's Close doesn't wait for the server's process to end
			if err != nil {
				return err
			}
			bare.Frontend.Send(&pgproto3.Terminate{})
			return errors.Join(bare.Frontend.Flush(), bench.WaitForEnd(bare.Conn))
		}, err
	})
}

// dovecotLogin is IMAP over TLS with SCRAM-SHA-256 (Dovecot 2.3 has no PLUS), the first message in the
// command (RFC 4959), and a NOOP. The client keeps its keys from one login to the next, as ours does.
func (s servers) dovecotLogin(t bench.T) *bench.Rig {
	t.Helper()
	client, err := scram.SHA256.NewClient(user, s.password, "")
	bench.Check(t, err)
	config := s.tls(tls.X25519)
	return bench.Connections(func() (func() error, error) {
		raw, err := dialTLS(s.addrs["dovecot"], config)
		if err != nil {
			return nil, err
		}
		c := imap{textproto.NewConn(raw)}
		leave := func() error { return errors.Join(c.PrintfLine("z LOGOUT"), bench.WaitForEnd(raw)) }
		return leave, c.logIn(client.NewConversation())
	})
}

// imap is a client that logs in.
type imap struct{ *textproto.Conn }

func (c imap) logIn(proof *scram.ClientConversation) error {
	_, err := c.expect("* OK ")
	var challenge string
	for _, step := range [][2]string{{"a AUTHENTICATE SCRAM-SHA-256 ", "+ "}, {"", "+ "}, {"", "a OK "}} {
		var message string
		if err == nil {
			message, err = proof.Step(challenge)
		}
		if err == nil {
			challenge, err = c.ask(step[0]+base64.StdEncoding.EncodeToString([]byte(message)), step[1])
		}
	}
	if err == nil {
		_, err = c.ask("b NOOP", "b OK ")
	}
	return err
}

// ask sends a line and returns the message in the reply, which begins with the wanted words.
func (c imap) ask(line, want string) (string, error) {
	if err := c.PrintfLine("%s", line); err != nil {
		return "", err
	}
	text, err := c.expect(want)
	message, _ := base64.StdEncoding.DecodeString(text) // the last replies have none
	return string(message), err
}

// expect skips what the server sends unasked.
func (c imap) expect(want string) (rest string, err error) {
	for {
		line, err := c.ReadLine()
		if err != nil {
			return "", err
		}
		if rest, ok := strings.CutPrefix(line, want); ok {
			return rest, nil
		}
		if !strings.HasPrefix(line, "* ") {
			return "", fmt.Errorf("dovecot: %.60q", line)
		}
	}
}

// bareRedis is the fastest client that Redis can have: it writes a batch that was encoded before, and
// parses nothing. The product's client encodes and parses each time.
func (s servers) bareRedis(t bench.T) *bench.Rig {
	t.Helper()
	c, err := dialTLS(s.addrs["redis"], s.tls(tls.X25519))
	bench.Check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	ask := func(request, reply string) func() error {
		e, in := bench.Exchange{Request: []byte(request), Reply: []byte(reply)}, make([]byte, len(reply))
		return func() error { return e.Ask(c, in) }
	}
	bench.Check(t, ask(fmt.Sprintf("*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n", len(s.password), s.password), "+OK\r\n")())
	bench.Check(t, c.SetDeadline(time.Time{})) // the connection stays
	bulk := fmt.Sprintf("$%d\r\n%s\r\n", len(bench.Line), bench.Line)
	return bench.Timed(bench.Window, ask(strings.Repeat("*2\r\n$4\r\nECHO\r\n"+bulk, bench.Window), strings.Repeat(bulk, bench.Window)))
}

// goRedis is the client that Go programs have, with its pipeline.
func (s servers) goRedis(t bench.T) *bench.Rig {
	c := redis.NewClient(&redis.Options{
		Addr: s.addrs["redis"], Password: s.password, TLSConfig: s.tls(tls.X25519), PoolSize: 1, DisableIdentity: true,
	})
	t.Cleanup(func() { _ = c.Close() })
	ctx, replies := context.Background(), make([]*redis.StringCmd, bench.Window)
	return bench.Timed(bench.Window, func() error {
		batch := c.Pipeline()
		for i := range replies {
			replies[i] = batch.Echo(ctx, bench.Line)
		}
		_, err := batch.Exec(ctx)
		if err == nil && replies[bench.Window-1].Val() != bench.Line {
			err = errors.New("redis: not echoed")
		}
		return err
	})
}
