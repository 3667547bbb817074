package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

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
// leave them alone afterwards. TLSConfig and Users are needed; all else works, and is safe, as
// zero.
type Server struct {
	// TLSConfig holds the certificate. Serve takes a copy and sets in it what the protocol demands:
	// the ALPN id, TLS 1.3 as the minimum where MinVersion is zero, and extended master secret with
	// TLS 1.2 (RFC 7627).
	TLSConfig *tls.Config
	// Users are those who may log in.
	Users Users
	// Handler serves requests that the protocol doesn't define. Nil is Stock.
	Handler Handler
	// Admission says what becomes of a client while the seat is taken. Nil is Queue{}.
	Admission Admission
	// Limits bound every stage; see there for what zero means.
	Limits Limits
	// Audit is the interaction log. Nil keeps none.
	Audit *audit.Log
	// ServeUnlogged goes on serving where the log can't be written, and says so to ErrorLog. False
	// is to answer "421 log-failed" and serve nobody.
	ServeUnlogged bool
	// LogPayload adds arguments and bodies to the log.
	LogPayload bool
	// LogNames logs the name of an unknown user as it was sent. False logs a short hash of it,
	// keyed with NameKey: what is typed there is often a password.
	LogNames bool
	// NameKey is the key of that hash. Nil is a random one for each process.
	NameKey []byte
	// RequireBinding offers SCRAM-SHA-256-PLUS alone.
	RequireBinding bool
	// Backend opens what OPEN joins a client to. Nil: there is no OPEN.
	Backend func(ctx context.Context) (net.Conn, error)
	// OnSay is handed each line of a client's SAY. Nil refuses SAY.
	OnSay func(user, text string)
	// Name is how the server names itself in its greeting. Empty is "sallyport".
	Name string
	// ErrorLog is told what the operator should see at once. Nil discards it.
	ErrorLog *slog.Logger

	once    sync.Once
	setup   error
	started time.Time
	boot    string // the first part of every connection's id
	nextID  atomic.Uint64
	limits  Limits
	verbs   map[string]string // interned
	tls     atomic.Pointer[tlsState]
	lobby   lobby
	seat    seat
	ctx     context.Context
	cancel  context.CancelCauseFunc

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	closing   bool
	stopped   sync.Once
	gone      chan struct{} // closed when closing and no connection is left
}

// init checks the fields and fills in what zero means, once.
func (s *Server) init() error {
	s.once.Do(func() {
		s.limits = s.Limits.withDefaults()
		s.lobby = lobby{limits: s.limits, sources: map[source]int{}, failed: map[source]bucket{}}
		s.seat.policy = s.Admission
		if s.seat.policy == nil {
			s.seat.policy = Queue{}
		}
		if s.Audit == nil {
			s.Audit = audit.New(io.Discard, audit.Options{})
		}
		if s.ErrorLog == nil {
			s.ErrorLog = slog.New(slog.DiscardHandler)
		}
		if s.NameKey == nil {
			s.NameKey = []byte(rand.Text())
		}
		if s.Name == "" {
			s.Name = "sallyport"
		}
		s.started, s.boot = time.Now(), rand.Text()[:6]
		s.ctx, s.cancel = context.WithCancelCause(context.Background())
		s.listeners, s.conns = map[net.Listener]struct{}{}, map[*conn]struct{}{}
		s.gone = make(chan struct{})
		if s.Users == nil {
			s.setup = errors.New("server: no Users")
			return
		}
		if s.verbs, s.setup = s.verbTable(); s.setup == nil && s.tls.Load() == nil {
			s.setup = s.SetTLSConfig(s.TLSConfig)
		}
	})
	return s.setup
}

// Serve accepts connections from l until Shutdown or Close, and closes l. The error is never nil:
// ErrServerClosed, or why it could not go on.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if err := s.init(); err != nil {
		return err
	}
	if !s.track(l) {
		return ErrServerClosed
	}
	defer s.untrack(l)
	s.Audit.Info("server.start", "").Str("listen", l.Addr().String()).Str("admission", s.seat.policy.String()).Send()
	if err := s.flushLog(); err != nil {
		return err
	}
	return s.accept(l)
}

// accept hands each connection to a goroutine of its own. A failure that may pass, as too many open
// files, is tried again after a while, as net/http does.
func (s *Server) accept(l net.Listener) error {
	var delay time.Duration
	for {
		raw, err := l.Accept()
		if err == nil {
			delay = 0
			s.welcome(raw)
			continue
		}
		if s.isClosing() {
			return ErrServerClosed
		}
		if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() && !temporary(err) {
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
		_ = s.flushLog()
		_ = raw.Close()
		return
	}
	c := newConn(s, raw, from)
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		s.lobby.leave(from)
		_ = raw.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	go c.run()
}

// forget takes a connection that has ended off the books.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.closing && len(s.conns) == 0 {
		close(s.gone)
	}
}

// Shutdown ends the server gently: it stops listening and seats nobody any more, tells those in the
// lobby and in the queue "421 shutdown", lets the running request end, and returns when the last
// connection has gone. When ctx ends first it returns its error, and Close ends the rest.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.close(func(c *conn) { c.wake(flagShutdown) }) {
		return nil
	}
	select {
	case <-s.gone:
		return s.logStop()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the server at once: handlers are cancelled and connections closed. It does not wait
// for handlers to return.
func (s *Server) Close() error {
	if !s.close(func(*conn) {}) {
		return nil
	}
	s.cancel(ErrServerClosed)
	s.mu.Lock()
	for c := range s.conns {
		_ = c.raw.Close()
	}
	s.mu.Unlock()
	return s.logStop()
}

// close stops listening and calls tell for each connection. It returns false where Serve was never
// called.
func (s *Server) close(tell func(*conn)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.closing
	s.closing = true
	for l := range s.listeners {
		_ = l.Close()
	}
	s.seat.close()
	for c := range s.conns {
		tell(c)
	}
	if first && len(s.conns) == 0 && s.gone != nil {
		close(s.gone)
	}
	return s.gone != nil
}

func (s *Server) logStop() (err error) {
	s.stopped.Do(func() {
		s.cancel(ErrServerClosed)
		s.Audit.Info("server.stop", "").Float64("uptime", time.Since(s.started).Seconds()).Send()
		err = s.flushLog()
	})
	return err
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.listeners[l] = struct{}{}
	}
	return !s.closing
}

func (s *Server) untrack(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) newID() string {
	return s.boot + "-" + strconv.FormatUint(s.nextID.Add(1), 10)
}

// flushLog writes what was logged. Its error says that nothing may be answered.
func (s *Server) flushLog() error {
	err := s.Audit.Flush()
	if err == nil {
		return nil
	}
	s.ErrorLog.Error("the interaction log can't be written", "error", err, "serving", s.ServeUnlogged)
	if s.ServeUnlogged {
		return nil
	}
	return err
}
