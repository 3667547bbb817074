package mallory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	honest "github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

func newTLS(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, DynamicRecordSizingDisabled: true}
}

// dialServer connects to the server.
func (r *replay) dialServer(ctx context.Context) (*peer, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", r.rig.Addr)
	if err != nil {
		return nil, err
	}
	r.remote = raw.LocalAddr().String()
	return newPeer(ctx, raw), nil
}

// asClient plays the client to a server.
func (r *replay) asClient(ctx context.Context) (Ending, error) {
	config := newTLS(r.rig.Roots)
	config.ServerName, config.NextProtos = "localhost", r.set.alpn
	config.MinVersion, config.MaxVersion = r.set.version, r.set.version
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	r.reconnect = func(ctx context.Context, resume bool) error { return r.comeAgain(ctx, config, resume) }
	err := r.connect(ctx, config)
	if err == nil && r.server.tls() != nil {
		err = r.newClientLogin(r.server.tls())
	}
	if err == nil {
		err = r.act(ctx)
	}
	if r.server == nil {
		return Ending{}, err
	}
	if err != nil {
		_ = r.server.raw.Close() // she has lost the thread
	} else {
		err = r.server.rest()
	}
	o, missing := r.rig.recorded(ctx, r.remote)
	ending, differs := r.serverEnding(o)
	return ending, errors.Join(err, missing, differs)
}

// comeAgain opens a second connection: one that resumes the TLS session of the
// first, for a new login, or one to say on it what was said on the first.
func (r *replay) comeAgain(ctx context.Context, config *tls.Config, resume bool) error {
	if err := r.hangUp(ctx); err != nil {
		return err
	}
	r.stage = "command"
	if err := r.connect(ctx, config); err != nil {
		return err
	}
	conn := r.server.tls()
	switch {
	case conn == nil:
		return errors.New("there is no TLS on the second connection")
	case !resume:
		r.login = nil
		forget(r.symbols, "server-first", "server-final")
		return nil
	case !conn.ConnectionState().DidResume:
		return errors.New("the TLS session was not resumed")
	}
	return r.newClientLogin(conn)
}

// hangUp leaves a connection, and waits until the server has noticed.
func (r *replay) hangUp(ctx context.Context) error {
	if err := r.server.do("close", ""); err != nil {
		return err
	}
	_ = r.server.rest() // whatever was still to come
	_, err := r.rig.recorded(ctx, r.remote)
	return err
}

// connect opens a connection to the server. A handshake that fails is for the
// transcript to judge.
func (r *replay) connect(ctx context.Context, config *tls.Config) (err error) {
	if r.server, err = r.dialServer(ctx); err != nil || r.set.raw {
		return err
	}
	conn := tls.Client(r.server.raw, config)
	if conn.HandshakeContext(ctx) == nil {
		r.server.speak(conn)
	}
	return nil
}

// asServer plays the server to a client.
func (r *replay) asServer(ctx context.Context) (Ending, error) {
	pair, roots, err := testserver.FaultyCertificate(r.set.certificate)
	if err != nil {
		return Ending{}, err
	}
	return r.lure(ctx, roots, func() error {
		if r.set.raw {
			return r.act(ctx)
		}
		r.serve(ctx, pair)
		if conn := r.client.tls(); conn != nil {
			if err := r.newServerLogin(conn, pair); err != nil {
				return err
			}
		}
		return r.act(ctx)
	})
}

// serve does the TLS handshake with the client. One that fails is for the transcript
// to judge.
func (r *replay) serve(ctx context.Context, pair tls.Certificate) {
	conn := tls.Server(r.client.raw, &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: r.set.alpn, DynamicRecordSizingDisabled: true,
		MinVersion: tls.VersionTLS10, MaxVersion: r.set.version,
	})
	if conn.HandshakeContext(ctx) == nil {
		r.client.speak(conn)
	}
}

// lure has an honest client come, and Mallory receive it.
func (r *replay) lure(ctx context.Context, roots *x509.CertPool, receive func() error) (Ending, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return Ending{}, err
	}
	defer listener.Close()
	addr, came := listener.Addr().String(), make(chan error, 1)
	go func() { came <- r.visit(ctx, r.dialer(roots, addr), addr) }()
	raw, err := listener.Accept()
	if err != nil {
		return Ending{}, err
	}
	r.client = newPeer(ctx, raw)
	if err = receive(); err != nil {
		_ = raw.Close() // she has lost the thread
	} else {
		err = r.client.rest()
	}
	return r.clientEnding(<-came), err
}

// visit is the honest client: it logs in, sends its requests, and leaves.
func (r *replay) visit(ctx context.Context, d *honest.Dialer, addr string) error {
	if r.set.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.set.patience)
		defer cancel()
	}
	c, err := d.Dial(ctx, addr, honest.Credentials{Username: r.set.user, Password: r.rig.Password(r.set.user)})
	if err != nil {
		return err
	}
	defer c.Close()
	r.seated = true
	for _, line := range r.requests() {
		verb, argument, _ := strings.Cut(line, " ")
		if _, err := c.Do(ctx, protocol.Request{Verb: verb, Argument: argument}); err != nil {
			return fmt.Errorf("%s: %w", verb, err)
		}
	}
	return nil
}

// inTheMiddle plays the server to a client, with a certificate that it trusts, and
// the client to a server.
func (r *replay) inTheMiddle(ctx context.Context) (Ending, error) {
	pair, roots, err := testserver.FaultyCertificate("")
	if err != nil {
		return Ending{}, err
	}
	config := newTLS(r.rig.Roots)
	config.ServerName, config.NextProtos = "localhost", r.set.alpn
	ending, err := r.lure(ctx, roots, func() error {
		if r.serve(ctx, pair); r.client.tls() == nil {
			return errors.New("the client does not trust the one in the middle")
		}
		if err := r.connect(ctx, config); err != nil {
			return err
		}
		if err := r.act(ctx); err != nil {
			return err
		}
		r.client.flush()
		return r.server.rest()
	})
	o, missing := r.rig.recorded(ctx, r.remote)
	found, differs := r.serverEnding(o)
	if found.Err = ending.Err; (found.Reason == "") != (ending.Err == nil) {
		err = errors.Join(err, fmt.Errorf("the client ends with %w", ending.Err))
	}
	return found, errors.Join(err, missing, differs)
}
