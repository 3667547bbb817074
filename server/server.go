package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/audit"
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("server: closed")

// Users finds what is stored of a user. It is called by many goroutines at once.
type Users interface {
	// Lookup returns the verifier of a user by its prepared name (RFC 4013). For an unknown one it
	// returns a mock verifier and false, at the same cost (see scram.Mock), so that nobody learns
	// which names exist.
	Lookup(preparedName string) (v scram.Verifier, known bool)
}

// Server serves one authenticated session at a time. Set the fields before the first Serve and
// leave them alone afterwards. TLSConfig and Users are needed; all else works, and is safe, as zero.
type Server struct {
	// TLSConfig holds the certificate. Serve takes a copy and sets in it what the protocol demands:
	// the ALPN id, TLS 1.3 as the minimum where MinVersion is zero, and extended master secret with
	// TLS 1.2 (RFC 7627).
	TLSConfig *tls.Config
	Users     Users   // those who may log in
	Handler   Handler // serves what the protocol doesn't define; nil: Stock
	// Admission says what becomes of a client while the seat is taken. Nil is Queue{}.
	Admission Admission
	Limits    Limits // of every stage; see there for what zero means
	// Audit is the interaction log. Nil keeps none.
	Audit *audit.Log
	// ServeUnlogged goes on serving where the log can't be written, and says so to ErrorLog. False
	// is to answer "421 log-failed" and serve nobody.
	ServeUnlogged bool
	LogPayload    bool // adds arguments, bodies and streams to the log
	// LogNames logs the name of an unknown user as it was sent. False logs a short hash of it, keyed
	// with NameKey: what is typed there is often a password.
	LogNames bool
	NameKey  []byte // nil: a random one for each process
	// RequireBinding offers SCRAM-SHA-256-PLUS alone.
	RequireBinding bool
	// Backend opens what OPEN joins a client to. Nil: there is no OPEN.
	Backend func(ctx context.Context) (net.Conn, error)
	// OnSay is handed each line of a client's SAY. Nil refuses SAY.
	OnSay    func(user, text string)
	Name     string       // in the greeting; empty: "sallyport"
	ErrorLog *slog.Logger // is told what the operator should see at once; nil discards it

	once    sync.Once
	setup   error
	started time.Time
	boot    string // the first part of every connection's id
	nextID  atomic.Uint64
	limits  Limits
	verbs   map[string]string // interned
	help    string
	tls     atomic.Pointer[tlsState]
	lobby   lobby
	seat    seat
	ctx     context.Context
	cancel  context.CancelCauseFunc

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	closing   bool
	served    bool          // server.start was logged
	gone      chan struct{} // closed when closing and no connection is left
}

// init checks the fields and fills in what zero means, once.
func (s *Server) init() error {
	s.once.Do(func() {
		s.started, s.boot = time.Now(), rand.Text()[:6]
		s.ctx, s.cancel = context.WithCancelCause(context.Background())
		s.listeners, s.conns = map[net.Listener]struct{}{}, map[*conn]struct{}{}
		s.gone = make(chan struct{})
		s.limits = s.Limits.withDefaults()
		s.lobby = lobby{limits: s.limits, sources: map[source]int{}, failed: map[source]bucket{}}
		s.Name = cmp.Or(s.Name, "sallyport")
		if s.Admission == nil {
			s.Admission = Queue{}
		}
		s.seat.policy = s.Admission.policy()
		if s.Audit == nil {
			s.Audit = audit.New(io.Discard, audit.Options{})
		}
		if s.ErrorLog == nil {
			s.ErrorLog = slog.New(slog.DiscardHandler)
		}
		if s.NameKey == nil {
			s.NameKey = []byte(rand.Text())
		}
		s.setup = s.check()
	})
	return s.setup
}

func (s *Server) check() error {
	greeting := protocol.Reply{Code: protocol.CodeReady, Text: s.Name}
	if _, err := greeting.Append(nil); err != nil || strings.ContainsAny(s.Name, " \n") {
		return errors.New("server: Name is no word")
	}
	if s.Users == nil {
		return errors.New("server: no Users")
	}
	if err := s.tabulate(); err != nil || s.tls.Load() != nil {
		return err
	}
	return s.SetTLSConfig(s.TLSConfig)
}

// Serve accepts connections from l until Shutdown or Close, and closes l. The error is never nil:
// ErrServerClosed, or why it could not go on.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if err := s.init(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[l], s.served = struct{}{}, true
	s.Audit.Info("server.start", "").Str("listen", l.Addr().String()).Str("admission", s.seat.policy.name).Send()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, l)
	}()
	if err := s.logged(s.Audit.Flush()); err != nil {
		return err
	}
	return s.accept(l)
}

// accept hands each connection to a goroutine of its own. A failure that may pass, as too many open
// files, is tried again after a while, as net/http does.
func (s *Server) accept(l net.Listener) error {
	for delay := time.Duration(0); ; {
		raw, err := l.Accept()
		if err == nil {
			delay = 0
			s.welcome(raw)
			continue
		}
		s.mu.Lock()
		closing := s.closing
		s.mu.Unlock()
		if closing {
			return ErrServerClosed
		}
		if !temporary(err) {
			return err
		}
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		s.ErrorLog.Warn("can't accept", "error", err, "again in", delay)
		select {
		case <-time.After(delay):
		case <-s.ctx.Done():
		}
	}
}

// welcome lets a connection into the lobby, or closes it where there is no room.
func (s *Server) welcome(raw net.Conn) {
	from := sourceOf(raw.RemoteAddr())
	if err := s.lobby.enter(from); err != nil {
		s.Audit.Warn("conn.refuse", s.newID()).Str("remote", raw.RemoteAddr().String()).Str("reason", err.Error()).Send()
		_ = s.logged(s.Audit.Flush())
		_ = raw.Close()
		return
	}
	c := newConn(s, raw, from)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		s.lobby.leave(from)
		_ = raw.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.Audit.Info("conn.accept", c.id).Str("remote", raw.RemoteAddr().String()).Send()
	go c.run()
}

// forget takes a connection that has ended off the books.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.lookWhoIsLeft()
}

// lookWhoIsLeft notes that there are no connections any more, and won't be. mu is held.
func (s *Server) lookWhoIsLeft() {
	if s.closing && len(s.conns) == 0 {
		close(s.gone)
	}
}

// Shutdown ends the server gently: it stops listening and seats nobody any more, tells those in the
// lobby and in the queue "421 shutdown", lets the running request end, and returns when the last
// connection has gone. When ctx ends first it returns its error, and Close ends the rest.
func (s *Server) Shutdown(ctx context.Context) error {
	s.close(func(c *conn) { c.wake(flagShutdown) })
	select {
	case <-s.gone:
	case <-ctx.Done():
		select {
		case <-s.gone: // both, then
		default:
			return ctx.Err()
		}
	}
	return s.stop()
}

// Close ends the server at once: handlers are cancelled and connections closed. It waits up to a
// second for handlers to return, so that what they did is on record.
func (s *Server) Close() error {
	_ = s.init()
	s.cancel(ErrServerClosed) // first, for it is why what follows fails
	s.close(func(c *conn) { _ = c.raw.Close() })
	select {
	case <-s.gone:
	case <-time.After(time.Second):
	}
	return s.stop()
}

// close stops listening and calls tell for each connection.
func (s *Server) close(tell func(*conn)) {
	_ = s.init() // there may have been no Serve
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		_ = l.Close()
	}
	s.seat.close()
	for c := range s.conns {
		tell(c)
	}
	if !s.closing {
		s.closing = true
		s.lookWhoIsLeft()
	}
}

// stop logs the end, once.
func (s *Server) stop() error {
	s.cancel(ErrServerClosed)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.served {
		return nil
	}
	s.served = false
	s.Audit.Info("server.stop", "").Float64("uptime", time.Since(s.started).Seconds()).Send()
	return s.logged(s.Audit.Flush())
}

func (s *Server) newID() string {
	return s.boot + "-" + strconv.FormatUint(s.nextID.Add(1), 10)
}

// logged takes the outcome of writing the log. An error that it returns says that nothing may be
// answered.
func (s *Server) logged(err error) error {
	if err == nil {
		return nil
	}
	s.ErrorLog.Error("the interaction log can't be written", "error", err, "serving", s.ServeUnlogged)
	if s.ServeUnlogged {
		return nil
	}
	return err
}
