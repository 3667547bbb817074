package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/errorlog"
)

// Seat has the methods of a *server.Server for the operator. Neither may block.
type Seat interface {
	Status() server.Status
	Evict(who func(server.Client) bool, by, reason string) ([]server.Client, error)
}

// Server answers requests. Set the fields before Serve. It is safe for concurrent use.
type Server struct {
	// Seat is the server.
	Seat Seat
	// Audit is the interaction log of the server.
	Audit *audit.Log
	// About returns the rest of Status. It may block. Nil means nothing.
	About func() About
	// Reload reloads certificate, users and log. Nil refuses it.
	Reload func() error
	// Stop begins the shutdown, and returns at once. now cuts the running request off. Nil refuses it.
	Stop func(now bool)
	// ErrorLog gets what the operator should see. Nil discards it.
	ErrorLog *slog.Logger

	once     sync.Once
	log      latest[audit.State]
	about    latest[About]
	stopping atomic.Bool
	mu       sync.Mutex
	refused  map[string]int
}

func (s *Server) init() {
	s.once.Do(func() {
		s.refused = map[string]int{}
		if s.About == nil {
			s.About = func() About { return About{} }
		}
		s.about.call, s.log.call = s.About, s.Audit.State
	})
}

// Serve answers requests on l until ctx ends, and closes l. Requests that run then get a second to end.
func (s *Server) Serve(ctx context.Context, l net.Listener) {
	s.init()
	s.outside() // so that Status has a state of the log, if its disk gets stuck later
	h := http.Server{
		Handler: http.MaxBytesHandler(s, maxBody), ConnContext: withPeer,
		ReadTimeout: requestTime, WriteTimeout: reloadTime + 2*requestTime, IdleTimeout: requestTime, MaxHeaderBytes: maxBody,
		ErrorLog: slog.NewLogLogger(errorlog.New(s.ErrorLog).Handler(), slog.LevelWarn),
	}
	ended := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		defer close(ended)
		last, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if h.Shutdown(last) != nil {
			_ = h.Close()
		}
	})()
	err := h.Serve(l)
	if ctx.Err() == nil {
		errorlog.New(s.ErrorLog).Error("the control socket has ended", "error", err)
		return
	}
	<-ended
}

// Stopping notes that the shutdown has begun, for Status.
func (s *Server) Stopping() { s.stopping.Store(true) }

// Refused counts refused connections, for Status.
func (s *Server) Refused(reason string, count int) {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[reason] += count
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.init()
	answer, err := s.answer(r)
	code := http.StatusOK
	if err != nil {
		refusal, ok := errors.AsType[*Error](err)
		if !ok {
			refusal = &Error{err.Error(), ReasonFailed}
		}
		answer, code = refusal, codes[refusal.Reason]
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer)
}

// codes are the codes of HTTP for each reason.
var codes = map[string]int{
	ReasonNoClient: http.StatusNotFound, ReasonArgument: http.StatusBadRequest, ReasonUnknown: http.StatusNotImplemented,
	ReasonFailed: http.StatusInternalServerError, ReasonTimeout: http.StatusGatewayTimeout,
}

func (s *Server) answer(r *http.Request) (any, error) {
	switch r.Method + " " + r.URL.Path {
	case http.MethodGet + " " + pathStatus:
		return s.Status(), nil
	case http.MethodPost + " " + pathEvict:
		return s.evict(r)
	case http.MethodPost + " " + pathReload:
		return struct{}{}, s.reload(r)
	case http.MethodPost + " " + pathStop:
		return s.stop(r)
	}
	return nil, &Error{"this server has no " + r.Method + " " + r.URL.Path, ReasonUnknown}
}

// read reads the body of a request: nothing, or one object.
func read[T any](r *http.Request) (T, error) {
	body := new(T)
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields() // a server must not evict the holder because it does not know how to choose another
	err := d.Decode(&body)
	if err == nil {
		if _, err = d.Token(); err == nil || body == nil {
			err = errors.New("it is one object")
		}
	}
	if err != io.EOF {
		return *new(T), &Error{"the request's body is no such JSON: " + err.Error(), ReasonArgument}
	}
	return *body, nil
}

// eviction is the body of an evict.
type eviction struct {
	User   choice `json:"user"`
	Conn   choice `json:"conn"`
	Reason string `json:"reason"`
}

// choice is a name that chooses clients. An empty one, such as a variable that a script has not set, is refused: it
// must not mean the holder.
type choice string

func (c *choice) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, (*string)(c)); err != nil {
		return err
	}
	if *c == "" || string(text) == "null" {
		return errors.New("user and conn are not empty; leave them out to evict the holder")
	}
	return nil
}

// Status returns the state of the server.
func (s *Server) Status() Status {
	s.init()
	now, seat := time.Now(), s.Seat.Status()
	status := Status{
		Started: seat.Started, Uptime: now.Sub(seat.Started).Seconds(), Stopping: s.stopping.Load(), Watching: seat.Watching,
		Served: seat.Served, Lobby: seat.Lobby, Penalised: seat.Penalised,
		Waiting: []Person{}, QueueLength: len(seat.Waiting),
	}
	status.About, status.Log = s.outside()
	status.Admission = seat.Admission
	if h := seat.Holder; h != nil {
		status.Holder = &Holder{person(*h, now), now.Sub(h.Active).Seconds(), h.Requests, h.Running}
	}
	for _, c := range seat.Waiting {
		status.Waiting = append(status.Waiting, person(c, now))
	}
	s.mu.Lock()
	status.Refused = maps.Clone(s.refused)
	s.mu.Unlock()
	return status
}

// outside returns the parts of Status that may wait for a disk, within patience.
func (s *Server) outside() (about About, l Log) {
	var asking sync.WaitGroup
	asking.Go(func() { about, _ = s.about.get(patience) })
	log, stuck := s.log.get(patience)
	asking.Wait()
	return about, Log{log.Path, log.Head, log.Size, log.Free, log.Failing, stuck.Seconds()}
}

func person(c server.Client, now time.Time) Person {
	return Person{c.User, c.Conn, c.Remote, c.Since, now.Sub(c.Since).Seconds()}
}

func (s *Server) evict(r *http.Request) (Evicted, error) {
	body, err := read[eviction](r)
	if err != nil {
		return Evicted{}, err
	}
	e := Eviction{string(body.User), string(body.Conn), body.Reason}
	if len(e.Reason) > maxReason || strings.ContainsFunc(e.Reason, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return Evicted{}, &Error{"the reason is one line of at most 500 bytes", ReasonArgument}
	}
	by, now := asker(r.Context()), time.Now()
	if e.Reason == "" {
		e.Reason = "the operator ended the session"
	}
	gone, err := s.Seat.Evict(e.chooses(), by, e.Reason+" (operator "+by+")")
	switch {
	case errors.Is(err, server.ErrNobodySeated), err == nil && len(gone) == 0:
		return Evicted{}, &Error{e.none() + s.elsewhere(), ReasonNoClient}
	case err != nil:
		return Evicted{}, &Error{err.Error(), ReasonArgument}
	}
	evicted := Evicted{By: by}
	for _, c := range gone {
		evicted.Evicted = append(evicted.Evicted, person(c, now))
	}
	return evicted, nil
}

// elsewhere is the end of a message that there is no client to evict: who has the seat at another server.
func (s *Server) elsewhere() string {
	f := s.Status().Elsewhere()
	switch {
	case f == nil:
		return ""
	case f.HolderAt == "" && f.NoLease != "":
		return " here: " + f.Holder + " has the shared seat by a key without a lease: etcdctl del " + f.NoLease
	}
	return " here: " + f.Holder + " has the shared seat at " + f.Gate() + ", so evict there"
}

// chooses returns the choice of clients for Server.Evict.
func (e Eviction) chooses() func(server.Client) bool {
	if e.User == "" && e.Conn == "" {
		return nil
	}
	return func(c server.Client) bool {
		return (e.User == "" || c.User == e.User) && (e.Conn == "" || c.Conn == e.Conn)
	}
}

// none is the message that there is no client to evict.
func (e Eviction) none() string {
	switch {
	case e.Conn != "":
		return "no client with the connection " + e.Conn + " has the seat, waits for it or watches"
	case e.User != "":
		return "no client of the user " + e.User + " has the seat, waits for it or watches"
	}
	return "the seat is free"
}

func (s *Server) reload(r *http.Request) error {
	if _, err := read[struct{}](r); err != nil {
		return err
	}
	if s.Reload == nil {
		return &Error{"this server can't reload", ReasonUnknown}
	}
	ended := make(chan error, 1)
	by := asker(r.Context())
	go func() {
		s.record("reload", by)
		ended <- s.Reload()
	}()
	select {
	case err := <-ended:
		return err
	case <-time.After(reloadTime):
		return &Error{"the reload has not ended in " + reloadTime.String() + ": is a disk stuck? It goes on", ReasonTimeout}
	}
}

func (s *Server) stop(r *http.Request) (Stopped, error) {
	how, err := read[stopping](r)
	if err != nil {
		return Stopped{}, err
	}
	if s.Stop == nil {
		return Stopped{}, &Error{"this server can't be stopped", ReasonUnknown}
	}
	by, recorded := asker(r.Context()), make(chan struct{})
	go func() {
		defer close(recorded)
		s.record("stop", by)
	}()
	select {
	case <-recorded:
	case <-time.After(patience):
	}
	about, _ := s.about.get(patience)
	s.Stopping()
	s.Stop(how.Now)
	return Stopped{about.Limits.ShutdownGrace}, nil
}

// stopping is the body of a stop.
type stopping struct {
	Now bool `json:"now"`
}

// record notes in the interaction log what the operator does.
func (s *Server) record(what, by string) {
	s.Audit.Info("operator", "").Str("deed", what).Str("by", by).Send()
	if err := s.Audit.Flush(); err != nil {
		errorlog.New(s.ErrorLog).Error("the interaction log can't be written", "error", err)
	}
}
