package scenarios

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/watch"
)

// A host is the server in the process.
type host struct {
	*testserver.Server
	// release is closed when handlers of BLOCK and STUBBORN may return.
	release chan struct{}
	// key is the kind of key of the certificate.
	key testserver.Key

	mu sync.Mutex
	// roots are what clients trust now.
	roots *x509.CertPool
	// heard has the lines of clients that "operator hears" has not taken.
	heard []string
	// device is the backend of the last stream.
	device *device
	// crowd is who watches the backend.
	crowd watch.Crowd
	// runs has the verbs of handlers that have begun, and that "operator sees" has not taken.
	runs []string
}

// own returns the server in the process. It starts it with the defaults if no "server" line has started it.
func (st *stage) own() (*host, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.host != nil {
		return st.host, nil
	}
	return st.startLocked(nil)
}

// startLocked starts the server in the process with options.
func (st *stage) startLocked(o options) (*host, error) {
	h := &host{release: make(chan struct{}), key: testserver.ECDSA}
	if key := cmp.Or(st.choice.get("key"), o["key"]); key != "" {
		h.key = testserver.Key(key)
	}
	if err := oneOf("key", string(h.key), dimensions["key"]...); err != nil {
		return nil, err
	}
	var err, bad error
	h.Server, err = testserver.Start(func(own *testserver.Server) {
		h.Server = own
		own.TLSConfig.Certificates = []tls.Certificate{testserver.Certificate(h.key)}
		if st.choice.get("tls") == "1.2" {
			own.TLSConfig.MinVersion = tls.VersionTLS12
		}
		if st.target.Configure != nil {
			st.target.Configure(own.Server)
		}
		if bad = errors.Join(o.configure(own.Server), h.guard(o, st.happened)); bad != nil {
			return // the server stops while mu is held, so its log must not call happened
		}
		own.Log.OnWrite = st.happened
		own.OnSay = func(user, text string) { h.hear(user + ": " + text); st.happened() }
		if own.Handler == nil {
			own.Handler = h.verbs()
		}
	})
	if bad != nil && err == nil {
		err = errors.Join(bad, h.stop())
	}
	if err != nil {
		return nil, err
	}
	h.roots = h.Roots
	go func() { <-h.Done(); st.happened() }()
	st.host = h
	return h, nil
}

// trusted returns the roots that clients trust now.
func (h *host) trusted() *x509.CertPool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.roots
}

// reload gives the server another certificate, the only one that clients trust from now on.
func (h *host) reload() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	pair := testserver.NewCertificate(h.key, func(*x509.Certificate) {})
	config := h.TLSConfig.Clone()
	config.Certificates = []tls.Certificate{pair}
	if err := h.SetTLSConfig(config); err != nil {
		return err
	}
	h.roots = testserver.Pool(pair)
	return nil
}

// stop shuts the server down.
func (h *host) stop() error {
	h.letGo()
	return h.Stop()
}

// letGo lets the handlers of BLOCK and STUBBORN return.
func (h *host) letGo() {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.release:
	default:
		close(h.release)
	}
}

func (h *host) hear(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard, line)
}

// begun notes that a handler has begun.
func (h *host) begun(verb string) {
	h.mu.Lock()
	h.runs = append(h.runs, verb)
	h.mu.Unlock()
	h.Log.OnWrite()
}

// verbs returns the stock verbs, and some that misbehave.
func (h *host) verbs() *server.Mux {
	m := h.Stock()
	m.HandleFunc("BLOCK", func(ctx context.Context, r *server.Request) (protocol.Reply, error) {
		h.begun(r.Verb)
		select {
		case <-h.release:
			return protocol.Reply{Text: "no longer blocked"}, nil
		case <-ctx.Done():
			return protocol.Reply{Text: "cancelled"}, nil
		}
	})
	m.HandleFunc("STUBBORN", func(ctx context.Context, r *server.Request) (protocol.Reply, error) {
		h.begun(r.Verb)
		<-ctx.Done()
		<-h.release
		return protocol.Reply{Text: "done at last"}, nil
	})
	m.HandleFunc("REFUSE", func(_ context.Context, r *server.Request) (protocol.Reply, error) {
		return protocol.Reply{}, server.Refuse("not today")
	})
	m.HandleFunc("FAIL", func(context.Context, *server.Request) (protocol.Reply, error) {
		return protocol.Reply{}, errors.New("the instrument is on fire")
	})
	m.HandleFunc("PANIC", func(context.Context, *server.Request) (protocol.Reply, error) {
		panic("the handler panics, as it was asked to")
	})
	return m
}
