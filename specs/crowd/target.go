package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/lobby"
)

// A target is a server under test.
type target struct {
	addr string
	tls  *tls.Config // of its clients
	// login connects and logs in. request makes one request of a client that has.
	login func(context.Context, *net.Dialer, string) (session, error)
	stop  func()
}

type session interface {
	request(context.Context) error
	close()
}

// startServer starts the server with the default limits, which trusts nobody.
func startServer() (target, error) {
	s, err := testserver.Start(func(s *testserver.Server) {
		s.Trust, s.Limits = nil, server.Limits{}
	})
	if err != nil {
		return target{}, err
	}
	return target{
		addr: s.Addr,
		tls:  &tls.Config{RootCAs: s.Roots, ServerName: "localhost", NextProtos: []string{protocol.ALPN}},
		login: func(ctx context.Context, d *net.Dialer, password string) (session, error) {
			dialer := s.Dialer()
			dialer.DialContext = d.DialContext
			c, err := dialer.Dial(ctx, s.Addr, client.Credentials{Username: "alice", Password: password})
			return seated{c}, err
		},
		stop: func() { _ = s.Stop() },
	}, nil
}

type seated struct{ *client.Client }

func (s seated) request(ctx context.Context) error {
	_, err := s.Do(ctx, protocol.Request{Verb: "ECHO", Argument: "hello"})
	return err
}

func (s seated) close() { _ = s.Quit(context.Background()) }

// startBare starts a loop that accepts TLS connections with the same limits: places before the login, time and
// lines. The line with the password is the login, and any other line is answered.
func startBare() (target, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return target{}, err
	}
	pair := testserver.Certificate(testserver.ECDSA)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol.ALPN}, MinVersion: tls.VersionTLS13}
	places := &lobby.Lobby{Max: 256, MaxPerSource: 16}
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			place := places.Enter(lobby.Source(raw.RemoteAddr()), func() { _ = raw.Close() })
			go bare(tls.Server(raw, config), place)
		}
	}()
	t := target{
		addr: l.Addr().String(),
		tls:  &tls.Config{RootCAs: testserver.Pool(pair), ServerName: "localhost", NextProtos: []string{protocol.ALPN}},
		stop: func() { _ = l.Close() },
	}
	t.login = func(ctx context.Context, d *net.Dialer, password string) (session, error) {
		conn, err := (&tls.Dialer{NetDialer: d, Config: t.tls}).DialContext(ctx, "tcp", t.addr)
		if err != nil {
			return nil, err
		}
		s := lines{conn, bufio.NewReader(conn)}
		for range 3 { // as many round trips as a login
			if err = s.ask(ctx, password); err != nil {
				s.close()
				return nil, err
			}
		}
		return s, nil
	}
	return t, nil
}

func bare(conn *tls.Conn, place *lobby.Place) {
	defer conn.Close()
	defer place.Leave()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(conn)
	for n := 1; ; n++ {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if strings.TrimSpace(line) == testserver.Password("alice") {
			place.Leave()
			_ = conn.SetDeadline(time.Time{})
			n = 0
		} else if n > 20 {
			return
		}
		if _, err = io.WriteString(conn, "250 hello\r\n"); err != nil {
			return
		}
	}
}

type lines struct {
	net.Conn
	in *bufio.Reader
}

func (l lines) ask(ctx context.Context, text string) error {
	if by, ok := ctx.Deadline(); ok {
		_ = l.SetDeadline(by)
	}
	if _, err := io.WriteString(l, text+"\r\n"); err != nil {
		return err
	}
	_, err := l.in.ReadString('\n')
	return err
}

func (l lines) request(ctx context.Context) error { return l.ask(ctx, testserver.Password("alice")) }
func (l lines) close()                            { _ = l.Close() }

// logins logs in again and again.
func logins(ctx context.Context, t target) (times []time.Duration, refused int) {
	for ctx.Err() == nil {
		began := time.Now()
		limited, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		s, err := t.login(limited, &net.Dialer{}, testserver.Password("alice"))
		if err == nil {
			times = append(times, time.Since(began))
			s.close()
		} else {
			refused++
		}
		cancel()
	}
	return times, refused
}

// requests makes requests in one session.
func requests(ctx context.Context, t target) (times []time.Duration, refused int) {
	var s session
	err := errors.New("not logged in")
	for range 100 {
		if s, err = t.login(ctx, &net.Dialer{}, testserver.Password("alice")); err == nil {
			break
		}
		refused++
	}
	if err != nil {
		return nil, refused
	}
	defer s.close()
	for ctx.Err() == nil {
		began := time.Now()
		if s.request(context.Background()) != nil {
			return times, refused + 1
		}
		times = append(times, time.Since(began))
	}
	return times, refused
}
