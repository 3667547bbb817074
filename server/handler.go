package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

// Request is a request of the seated client. It is valid until the handler returns. A handler may keep
// Argument, but not Body.
type Request struct {
	// User is the prepared name (RFC 4013) of the user.
	User string
	// Conn is the connection's id in the log.
	Conn string
	// Token is the fencing token of the session if servers share the seat: each session has a greater one than the
	// session before, whichever server had that. Otherwise it is zero.
	Token int64
	// Verb is in upper case.
	Verb     string
	Argument string
	// Body is nil if the client sent none.
	Body []byte
}

// Handler serves requests, one at a time in the whole server.
//
// A reply needs no Code: the server sends 251 if it has a Body, otherwise 250. A Text of several lines
// becomes a multi-line reply. If the error is a *protocol.ReplyError with code 500, 501, 550 or 554
// ([Refuse] makes one), the client gets that. For any other error, and for a panic, the client gets "554
// failed" and ErrorLog the cause.
//
// The context is cancelled when the client leaves or is evicted, and when the request exceeds its time
// limit. The seat stays taken until the handler returns, so a handler that ignores its context keeps
// all clients waiting.
type Handler interface {
	ServeRequest(ctx context.Context, r *Request) (protocol.Reply, error)
}

// HandlerFunc makes a Handler of a function.
type HandlerFunc func(ctx context.Context, r *Request) (protocol.Reply, error)

// ServeRequest calls f.
func (f HandlerFunc) ServeRequest(ctx context.Context, r *Request) (protocol.Reply, error) {
	return f(ctx, r)
}

// ErrUnknownVerb is the error of a Handler for a verb that it doesn't know.
var ErrUnknownVerb error = errUnknown

// Mux is a Handler that chooses another Handler by verb. Register handlers before the server starts.
type Mux struct {
	handlers  map[string]Handler
	summaries map[string]string
}

// Handle registers a handler for a verb. It panics if the verb is invalid (protocol.ValidVerb) or has a handler.
func (m *Mux) Handle(verb string, h Handler) {
	if !protocol.ValidVerb(verb) {
		panic(fmt.Sprintf("server: %q is not a verb", verb))
	}
	if _, taken := m.handlers[verb]; taken {
		panic("server: two handlers for " + verb)
	}
	if m.handlers == nil {
		m.handlers = map[string]Handler{}
	}
	m.handlers[verb] = h
}

// HandleFunc registers a function.
func (m *Mux) HandleFunc(verb string, f HandlerFunc) { m.Handle(verb, f) }

// Summary sets what HELP says of a verb, in one line. It panics if the verb has no handler, or the text is no line.
func (m *Mux) Summary(verb, text string) {
	if _, ok := m.handlers[verb]; !ok {
		panic("server: no handler for " + verb)
	}
	if err := checkLine(protocol.Reply{Code: protocol.CodeDone, Text: verb + " " + text}); err != nil {
		panic("server: the summary of " + verb + " is not a line")
	}
	if m.summaries == nil {
		m.summaries = map[string]string{}
	}
	m.summaries[verb] = text
}

// summary returns what HELP says of a verb, maybe nothing. A nil Mux has no summaries.
func (m *Mux) summary(verb string) string {
	if m == nil {
		return ""
	}
	return m.summaries[verb]
}

// Verbs returns the verbs in alphabetical order.
func (m *Mux) Verbs() []string { return slices.Sorted(maps.Keys(m.handlers)) }

// ServeRequest calls the handler of the verb.
func (m *Mux) ServeRequest(ctx context.Context, r *Request) (protocol.Reply, error) {
	h, ok := m.handlers[r.Verb]
	if !ok {
		return protocol.Reply{}, ErrUnknownVerb
	}
	return h.ServeRequest(ctx, r)
}

// verbLister is a Handler that lists its verbs, as Mux does. HELP shows them. Other verbs don't reach the
// handler or the log.
type verbLister interface{ Verbs() []string }

// check completes the reply of a handler with its code.
func check(r protocol.Reply) (protocol.Reply, error) {
	code := protocol.CodeDone
	if r.Body != nil {
		code = protocol.CodeBody
	}
	if r.Code != 0 && r.Code != code {
		return r, fmt.Errorf("a handler replied with code %d", r.Code)
	}
	r.Code = code
	return r, nil
}

// publicError returns the reply for a handler's error, and whether the reply has all of it. A handler must
// not use codes that concern the connection.
func publicError(err error) (public *protocol.ReplyError, whole bool) {
	public, ok := errors.AsType[*protocol.ReplyError](err)
	if !ok || public.Keyword == "" || strings.Contains(public.Text, "\n") {
		return errFailed, false
	}
	switch public.Code {
	case protocol.CodeSyntax, protocol.CodeArgument, protocol.CodeRefused, protocol.CodeFailed:
		return public, true
	}
	return errFailed, false
}

// call runs a handler. It returns only after the handler.
func (s *session) call(h Handler, began time.Time) (reply protocol.Reply, err error) {
	if s.ctx.Err() != nil && s.conn.ctx.Err() == nil {
		// The last request was cancelled, but not the session.
		s.ctx, s.cancel = context.WithCancelCause(s.conn.ctx)
	}
	if err = s.mayAct(); err != nil {
		return reply, err
	}
	s.handed = s.request
	s.watchOver(began)
	defer func() {
		if errors.Is(err, errPanic) {
			s.srv.Audit.Error("handler.panic", s.id).Str("user", s.user).Str("verb", s.request.Verb).Int("n", s.n+1).Send()
			err = errFailed
		}
		s.unwatch()
		if errors.Is(context.Cause(s.ctx), errOverdue) {
			err = errOverdue
		}
	}()
	err = s.safely(func() (err error) {
		reply, err = h.ServeRequest(s.ctx, &s.handed)
		return err
	})
	return reply, err
}
