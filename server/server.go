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
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/acceptor"
	"github.com/sallyport/sallyport/server/admission"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/errorlog"
	"github.com/sallyport/sallyport/server/lobby"
	"github.com/sallyport/sallyport/server/penalty"
	"github.com/sallyport/sallyport/server/secure"
	"github.com/sallyport/sallyport/server/watch"
)

// ErrServerClosed is the error of Serve after Shutdown or Close.
var ErrServerClosed = errors.New("server: closed")

// Users looks up verifiers. It must be safe for concurrent use.
type Users interface {
	// Lookup returns the verifier of a user by its prepared name (RFC 4013). For an unknown name it
	// returns a mock verifier (see scram.Mock) and false, after the same work, so that a client can't
	// learn which names exist. An error, which must be the same for every name, means that the users can't
	// be read now: the client gets "454 temporary". Lookup itself tells the operator.
	Lookup(preparedName string) (v scram.Verifier, known bool, err error)
}

// Server serves one authenticated session at a time. Set the fields before the first Serve, and don't
// change them afterwards. TLSConfig and Users are required. Zero is safe for all other fields. A panic in code
// that they name fails the request ([Handler]) or ends the connection, and ErrorLog gets the stack.
type Server struct {
	// TLSConfig has the certificate. Serve sets in a copy what the protocol demands: the ALPN id, TLS 1.3
	// as the minimum if MinVersion is zero, and extended master secret with TLS 1.2 (RFC 7627).
	TLSConfig *tls.Config
	// Users are the users who may log in.
	Users Users
	// Handler serves the verbs that the protocol doesn't define. Nil means Stock.
	Handler Handler
	// Admission is the policy while the seat is taken. Nil means Queue{}.
	Admission Admission
	// Shared is the seat if other servers share it. Nil means that this server has a seat of its own.
	Shared admission.Shared
	// Limits bound what clients can use.
	Limits Limits
	// Trust are addresses that get no penalty, see package penalty. An IPv6 prefix has at most 56 bits.
	Trust []netip.Prefix
	// Audit is the interaction log. Nil means none.
	Audit *audit.Log
	// ServeUnlogged serves, and warns in ErrorLog, while the log can't be written. Without it clients get
	// "421 log-failed" then.
	ServeUnlogged bool
	// LogPayload adds arguments, bodies and streams to the log.
	LogPayload bool
	// LogNames logs the names of unknown users. Without it the log has a short hash, keyed with NameKey,
	// because such a name is often a password.
	LogNames bool
	// NameKey is nil for a random key for each process.
	NameKey []byte
	// RequireBinding offers only SCRAM-SHA-256-PLUS.
	RequireBinding bool
	// Approve is asked after a good proof, before the client gets the server's: it may compare the user with the
	// client's certificate. After an error the login fails like one with a wrong password, for the reason
	// certificate, and ErrorLog gets the error. It must be quick, because its time is no secret. Nil approves all.
	Approve func(user string, state tls.ConnectionState) error
	// Backend connects to what OPEN and STREAM join a client to. Nil means neither. Package joint says what a
	// backend can do beside reading and writing.
	Backend func(ctx context.Context, r *Request) (io.ReadWriteCloser, error)
	// Watch adds a watcher, a client that sees what the backend says without a seat, to a watch.Crowd. Nil allows no
	// watchers.
	Watch func(watch.Client) (*watch.Feed, error)
	// OnSay gets each line of a client's SAY. Nil refuses SAY.
	OnSay func(user, text string)
	// Name is in the greeting. Empty means "sallyport".
	Name string
	// ErrorLog gets what the operator should see at once. Nil discards it.
	ErrorLog *slog.Logger

	errorLog  *slog.Logger // ErrorLog, whose panics it survives
	once      sync.Once
	setup     error
	started   time.Time
	boot      string // prefix of every connection's id
	nextID    atomic.Uint64
	limits    Limits
	verbs     map[string]*string // interned verbs
	tls       atomic.Pointer[secure.Config]
	lobby     lobby.Lobby
	refused   lobby.Refusals
	penalties penalty.Book
	seat      seat
	ctx       context.Context
	cancel    context.CancelCauseFunc

	errIdle, errSessionLimit, errWaitTimeout error  // replies that name the limit
	help, genericHelp                        string // to native clients, and to others, who have no STREAM

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	closing   bool
	served    bool          // server.start was logged
	gone      chan struct{} // closed after the last connection of a closing server
}

// init checks the fields and sets defaults, once.
func (s *Server) init() error {
	s.once.Do(func() {
		s.started, s.boot = time.Now(), rand.Text()[:6]
		s.ctx, s.cancel = context.WithCancelCause(context.Background())
		s.listeners, s.conns = map[net.Listener]struct{}{}, map[*conn]struct{}{}
		s.gone = make(chan struct{})
		s.limits = s.Limits.WithDefaults()
		s.lobby.Max, s.lobby.MaxPerSource = s.limits.Lobby, s.limits.LobbyPerSource
		s.refused.Report = s.logRefusals
		s.penalties.Free, s.penalties.Trust = s.limits.FailedLogins, s.Trust
		s.Name = cmp.Or(s.Name, "sallyport")
		if s.Admission == nil {
			s.Admission = Queue{}
		}
		s.seat.rules, s.seat.shared = s.Admission.Rules(s.limits.Idle), s.Shared
		s.errIdle = refusal(protocol.CodeClosing, protocol.KeywordIdle, "no activity for "+s.limits.Idle.String())
		s.errSessionLimit = refusal(protocol.CodeClosing, protocol.KeywordSessionLimit, "a session lasts at most "+s.limits.Session.String())
		s.errWaitTimeout = refusal(protocol.CodeClosing, protocol.KeywordWaitTimeout, "the seat did not become free in "+s.seat.rules.Wait.String())
		if s.Audit == nil {
			s.Audit = audit.New(io.Discard, audit.Options{})
		}
		s.errorLog = errorlog.New(s.ErrorLog)
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
		return errors.New("server: Name is not one word")
	}
	if s.Users == nil {
		return errors.New("server: no Users")
	}
	if err := s.listVerbs(); err != nil || s.tls.Load() != nil {
		return err
	}
	return s.SetTLSConfig(s.TLSConfig)
}

// Serve accepts connections from l until Shutdown or Close, and closes l. Its error is never nil. It is
// ErrServerClosed, or the reason why Serve could not go on. In the second case sessions go on until Shutdown
// or Close.
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
	s.Audit.Info("server.start", "").Str("listen", l.Addr().String()).Str("admission", s.seat.rules.Name).Send()
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

// accept starts a goroutine for each connection, until l no longer listens.
func (s *Server) accept(l net.Listener) error {
	closing := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.closing
	}
	warn := func(err error) { s.errorLog.Warn("can't accept connections, trying again", "error", err) }
	err := acceptor.Acceptor{Each: s.admit, Closing: closing, Done: s.ctx.Done(), Warn: warn}.Run(l)
	if closing() {
		return ErrServerClosed
	}
	return err
}

// admit lets a connection into the lobby, or closes it if its source has a penalty. It does not wait for the
// log, because all other connections would wait too.
func (s *Server) admit(raw net.Conn) {
	from := lobby.Source(raw.RemoteAddr())
	if s.penalties.RefusesConn(from) {
		s.refused.Add(from, string(protocol.KeywordThrottled))
		_ = raw.Close()
		return
	}
	c := newConn(s, raw, from)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		_ = raw.Close()
		return
	}
	c.place = s.lobby.Enter(c.from, func() { _ = c.raw.Close() })
	s.conns[c] = struct{}{}
	go c.run()
}

func (s *Server) logRefusals(all []lobby.Refusal) {
	for _, r := range all {
		s.Audit.Warn("conn.refuse", "").Str("remote", r.Source).Str("reason", r.Reason).Int("count", r.Count).Send()
	}
	_ = s.logged(s.Audit.Flush())
}

// forget removes a connection that has ended.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.checkGone()
}

// checkGone closes gone after the last connection of a closing server. The caller holds mu.
func (s *Server) checkGone() {
	if s.closing && len(s.conns) == 0 {
		close(s.gone)
	}
}

// StopSeating makes the seat grant no more: clients that ask for it get "421 shutdown". Shutdown does that too.
func (s *Server) StopSeating() { s.seat.close() }

// Shutdown ends the server gracefully. It stops listening, grants the seat no more, sends "421 shutdown" to
// clients in the lobby and in the queue, lets the running request end, and returns when the last
// connection has ended. If ctx ends first, it returns ctx's error: call Close then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.close(func(c *conn) { c.raw.Wake(flagShutdown) })
	select {
	case <-s.gone:
	case <-ctx.Done():
		select {
		case <-s.gone: // both have happened
		default:
			return ctx.Err()
		}
	}
	return s.stop()
}

// Close ends the server at once: it cancels handlers and closes connections. It waits up to a second for
// handlers to return, so that their requests are on record.
func (s *Server) Close() error {
	_ = s.init()
	s.cancel(ErrServerClosed) // first, because it is the cause of all failures that follow
	s.close(func(c *conn) {
		if !c.raw.Has(flagLingers) {
			_ = c.raw.Close()
		}
	})
	select {
	case <-s.gone:
	case <-time.After(time.Second):
		s.close(func(c *conn) { _ = c.raw.Close() })
	}
	return s.stop()
}

// close stops listening and calls end for each connection.
func (s *Server) close(end func(*conn)) {
	_ = s.init() // Serve may not have been called
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		_ = l.Close()
	}
	s.seat.close()
	for c := range s.conns {
		end(c)
	}
	if !s.closing {
		s.closing = true
		s.checkGone()
	}
}

// stop logs the end of the server, once.
func (s *Server) stop() error {
	s.cancel(ErrServerClosed)
	s.refused.Flush()
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

// logged handles the error of writing the log. It returns an error if the server must not send replies.
func (s *Server) logged(err error) error {
	if err == nil {
		return nil
	}
	s.errorLog.Error("the interaction log can't be written", "error", err, "serving", s.ServeUnlogged)
	if s.ServeUnlogged {
		return nil
	}
	return err
}
