package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/protocol"
)

// Request is what a seated client asks for. It is valid until the handler returns; Argument may be
// kept, Body may not.
type Request struct {
	User     string // prepared (RFC 4013)
	Conn     string // the connection's id in the log
	Verb     string // in upper case
	Argument string
	Body     []byte // nil: none was sent
}

// Handler serves requests, one at a time in the whole server.
//
// A reply needs no Code: with a Body it is sent as 251, else as 250; a Text of several lines is
// sent as a multi-line reply. An error that is a *protocol.ReplyError with a 5yz code ([Refuse]
// makes one) is told to the client (codes 500, 501, 550 and 554); any other is logged to the server's ErrorLog and answered "554
// failed". A panic is answered so, too.
//
// The context is cancelled when the client leaves, is evicted, or the request runs past its time
// limit. The seat stays taken until the handler has returned, so one that ignores its context keeps
// everybody waiting.
type Handler interface {
	ServeRequest(ctx context.Context, r *Request) (protocol.Reply, error)
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, r *Request) (protocol.Reply, error)

// ServeRequest calls f.
func (f HandlerFunc) ServeRequest(ctx context.Context, r *Request) (protocol.Reply, error) {
	return f(ctx, r)
}

// ErrUnknownVerb is what a Handler returns for a verb that it doesn't know.
var ErrUnknownVerb error = errUnknown

// Mux is a Handler that chooses another by verb. Set it up before the server starts.
type Mux struct {
	handlers map[string]Handler
}

// Handle registers a handler for a verb. It panics, as a mistake of the programmer, where the verb
// is not one (protocol.ValidVerb) or is taken.
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

// verbLister is what a Handler has that can list what it knows, as Mux does: HELP shows it, and
// verbs outside it don't reach the handler or the log.
type verbLister interface{ Verbs() []string }

// check turns what a handler returned into what is sent.
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

// publicError is what the client is told of a handler's error, and whether that is all there is to
// know. Codes that say something about the connection are not a handler's to give.
func publicError(err error) (told *protocol.ReplyError, whole bool) {
	told, ok := errors.AsType[*protocol.ReplyError](err)
	if !ok || told.Keyword == "" || strings.Contains(told.Text, "\n") {
		return errFailed, false
	}
	switch told.Code {
	case protocol.CodeSyntax, protocol.CodeArgument, protocol.CodeRefused, protocol.CodeFailed:
		return told, true
	}
	return errFailed, false
}
