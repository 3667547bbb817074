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
	"github.com/sallyport/sallyport/protocol/piece"
	"github.com/sallyport/sallyport/server/help"
	"github.com/sallyport/sallyport/server/joint"
)

// Errors of Say.
var (
	ErrNobodySeated = errors.New("server: nobody is seated")
	ErrNoMessages   = errors.New("server: the seated client takes no messages, or has too many unread")
)

// Stock returns a Mux with the stock verbs ECHO, TIME, STAT and SAY. Callers may add others.
func (s *Server) Stock() *Mux {
	m := &Mux{}
	m.HandleFunc("ECHO", func(_ context.Context, r *Request) (protocol.Reply, error) {
		return protocol.Reply{Text: r.Argument, Body: r.Body}, nil
	})
	m.HandleFunc("TIME", func(context.Context, *Request) (protocol.Reply, error) {
		return protocol.Reply{Text: time.Now().Format(time.RFC3339)}, nil
	})
	m.HandleFunc("STAT", func(context.Context, *Request) (protocol.Reply, error) { return s.stat(), nil })
	m.HandleFunc("SAY", s.say)
	m.Summary("ECHO", "gives back its argument, or the body")
	m.Summary("TIME", "says what time it is at the server")
	m.Summary("STAT", "says who has the seat, and how many wait")
	m.Summary("SAY", "sends its argument to the operator")
	return m
}

// stat returns the reply to STAT.
func (s *Server) stat() protocol.Reply {
	_, now := s.seat.current()
	now.Started = s.started
	return protocol.Reply{Code: protocol.CodeDone, Text: now.String()}
}

// say passes a line to the operator.
func (s *Server) say(_ context.Context, r *Request) (protocol.Reply, error) {
	if r.Argument == "" {
		return protocol.Reply{}, errNoArgument
	}
	if s.OnSay == nil {
		return protocol.Reply{}, Refuse("no operator is listening")
	}
	s.Audit.Info("chat", r.Conn).Str("direction", "in").Int("bytes", len(r.Argument)).Send()
	s.OnSay(r.User, r.Argument)
	return protocol.Reply{Text: "delivered"}, nil
}

// Say sends a line to the seated client, as a 150 between its replies. It returns before the line is
// written. Errors are ErrNobodySeated, ErrNoMessages, and protocol.ErrSyntax or protocol.ErrLineTooLong
// for a text that is no line.
func (s *Server) Say(text string) error {
	if err := checkLine(protocol.Reply{Code: protocol.CodeMessage, Text: text}); err != nil {
		return err
	}
	_ = s.init() // Serve may begin at the same time
	holder, _ := s.seat.current()
	if holder == nil {
		return ErrNobodySeated
	}
	if !holder.native || !holder.messages.Post(joint.Words(text)) {
		return ErrNoMessages
	}
	holder.raw.Wake(flagMessage)
	return nil
}

// checkLine returns why a reply is not one valid line.
func checkLine(r protocol.Reply) error {
	if strings.Contains(r.Text, "\n") {
		return protocol.ErrSyntax
	}
	_, err := r.Append(nil)
	return err
}

// listVerbs interns every known verb, so that a request needs no allocation for its verb, and makes the
// text of HELP. A handler must not have a verb of the protocol.
func (s *Server) listVerbs() error {
	if s.Handler == nil {
		s.Handler = s.Stock()
	}
	shown := help.BuiltIn(s.Backend != nil)
	s.verbs = map[string]*string{}
	for _, verb := range slices.Concat(slices.Collect(maps.Keys(shown)), piece.Verbs, []string{protocol.VerbAuth, protocol.VerbEhlo, protocol.VerbBody}) {
		s.verbs[verb] = &verb
	}
	if known, ok := s.Handler.(verbLister); ok {
		mux, _ := known.(*Mux)
		for _, verb := range known.Verbs() {
			if s.verbs[verb] != nil {
				return fmt.Errorf("server: the verb %s is built in", verb)
			}
			s.verbs[verb], shown[verb] = &verb, mux.summary(verb)
		}
	}
	s.help = shown.Text()
	delete(shown, protocol.VerbStream)
	s.genericHelp = shown.Text()
	return nil
}

// dispatch serves a request and answers it.
func (s *session) dispatch(began time.Time) error {
	done := protocol.Reply{Code: protocol.CodeDone}
	switch verb := s.request.Verb; {
	case s.raw.Has(flagEvicted):
		return s.evicted() // also if the request arrived first
	case verb == "", verb == protocol.VerbBody: // or unknown
		return s.answerError(errUnknown, began)
	case verb == protocol.VerbNoop:
		done.Text = "ok"
	case verb == protocol.VerbWhoami:
		done.Text = s.user
	case verb == protocol.VerbHelp && s.native:
		done.Text = s.srv.help
	case verb == protocol.VerbHelp:
		done.Text = s.srv.genericHelp
	case verb == protocol.VerbAuth, verb == protocol.VerbEhlo:
		return s.answer(errSequence.Reply(), began)
	case verb == protocol.VerbQuit:
		return errors.Join(s.answer(bye, began), errQuit)
	case verb == protocol.VerbOpen && s.srv.Backend != nil:
		return s.open(began)
	case verb == protocol.VerbStream && s.srv.Backend != nil:
		return s.stream(began)
	case verb == protocol.VerbData:
		return s.answerLast(errNoStream, began)
	default:
		reply, err := s.call(s.srv.Handler, began)
		if err == nil {
			reply, err = check(reply)
		}
		if err != nil {
			return s.answerError(err, began)
		}
		return s.answer(reply, began)
	}
	return s.answer(done, began)
}
