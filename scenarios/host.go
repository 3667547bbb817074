package scenarios

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
)

// host is a server in the process, and its operator.
type host struct {
	server  *server.Server
	addr    string
	users   *Users
	log     *memory
	served  chan error
	release chan struct{} // closed when BLOCK may end

	mu    sync.Mutex
	key   Key            // of its certificate
	roots *x509.CertPool // as of now
	heard []string       // lines that clients said to the operator
	runs  []string       // verbs whose handlers have begun, and that nobody has seen yet
}

// own returns the server in the process, which starts with the defaults unless
// the script has started it already.
func (st *stage) own() (*host, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.host != nil {
		return st.host, nil
	}
	return st.startLocked(&server.Server{}, string(ECDSA))
}

// startLocked starts a server; what is not set in it is set here.
func (st *stage) startLocked(s *server.Server, key string) (*host, error) {
	if chosen := st.choice.Get("key"); chosen != "" {
		key = chosen
	}
	pair := Certificate(Key(key))
	h := &host{
		server: s, users: NewUsers(), served: make(chan error, 1), release: make(chan struct{}),
		log: &memory{happened: st.happened}, key: Key(key), roots: trusting(pair),
	}
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
	if st.choice.Get("tls") == "1.2" {
		s.TLSConfig.MinVersion = tls.VersionTLS12
	}
	s.Users, s.Audit = h.users, audit.New(h.log, audit.Options{})
	if s.Limits.LobbyPerSource == 0 {
		s.Limits.LobbyPerSource = 256 // everybody comes from one address here
	}
	s.Handler = h.verbs()
	s.OnSay = func(user, text string) { h.hear(user + ": " + text); st.happened() }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h.addr = l.Addr().String()
	go func() { h.served <- s.Serve(l); st.happened() }()
	st.host = h
	return h, nil
}

func trusting(pair tls.Certificate) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	return roots
}

// trusted is what clients trust from now on.
func (h *host) trusted() *x509.CertPool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.roots
}

// reload gives the server another certificate: only that is trusted from now on.
func (h *host) reload() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	pair := NewCertificate(h.key, func(*x509.Certificate) {})
	config := h.server.TLSConfig.Clone()
	config.Certificates = []tls.Certificate{pair}
	if err := h.server.SetTLSConfig(config); err != nil {
		return err
	}
	h.roots = trusting(pair)
	return nil
}

// stop ends the server: gently, and then not.
func (h *host) stop() error {
	h.letGo()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := h.server.Shutdown(ctx); err != nil {
		_ = h.server.Close()
	}
	if err := <-h.served; !errors.Is(err, server.ErrServerClosed) {
		return fmt.Errorf("the server ended: %w", err)
	}
	return nil
}

// letGo ends what BLOCK waits for.
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

// begun notes that a handler runs.
func (h *host) begun(verb string) {
	h.mu.Lock()
	h.runs = append(h.runs, verb)
	h.mu.Unlock()
	h.log.happened()
}

// verbs are the stock ones, and some that misbehave.
func (h *host) verbs() *server.Mux {
	m := h.server.Stock()
	m.HandleFunc("BLOCK", func(ctx context.Context, r *server.Request) (protocol.Reply, error) {
		h.begun(r.Verb)
		select {
		case <-h.release:
		case <-ctx.Done():
		}
		return protocol.Reply{Text: "no longer blocked"}, nil
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

// memory is the interaction log in memory.
type memory struct {
	mu       sync.Mutex
	text     bytes.Buffer
	fail     error
	happened func()
}

// Write takes what the server writes.
func (m *memory) Write(p []byte) (int, error) {
	m.mu.Lock()
	fail := m.fail
	if fail == nil {
		m.text.Write(p)
	}
	m.mu.Unlock()
	if fail != nil {
		return 0, fail
	}
	m.happened()
	return len(p), nil
}

func (m *memory) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text.String()
}

// raw returns the records.
func (m *memory) raw() (records []json.RawMessage) {
	for line := range bytes.Lines([]byte(m.String())) {
		records = append(records, json.RawMessage(bytes.TrimSuffix(line, []byte("\n"))))
	}
	return records
}
