package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/piece"
	"github.com/sallyport/sallyport/server/joint"
)

// Errors of Say.
var (
	ErrNobodySeated = errors.New("server: nobody is seated")
	ErrNoMessages   = errors.New("server: the seated client takes no messages, or has too many unread")
)

// maxMessages bounds the messages for a client that doesn't read.
const maxMessages = 64

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
	holder, _ := s.seat.current()
	if holder == nil {
		return ErrNobodySeated
	}
	if !holder.post(text) {
		return ErrNoMessages
	}
	holder.wake(flagMessage)
	return nil
}

// Evict ends the session of the seated client with "421 evicted" and the reason. Without one it says that the
// operator ended the session. by is who that is, for the log. Errors are ErrNobodySeated, and for the reason
// those of Say.
func (s *Server) Evict(by, reason string) error {
	reply := refusal(protocol.CodeClosing, protocol.KeywordEvicted, cmp.Or(reason, "the operator ended the session"))
	if err := checkLine(reply.Reply()); err != nil {
		return err
	}
	holder, _ := s.seat.current()
	if holder == nil {
		return ErrNobodySeated
	}
	s.Audit.Info("operator", "").Str("deed", "evict").Str("by", by).Send()
	holder.evict(&eviction{reply, by})
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

// post queues a message for the connection's goroutine.
func (c *conn) post(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.native || c.streams || len(c.messages) >= maxMessages {
		return false
	}
	c.messages = append(c.messages, joint.Words(text))
	return true
}

// listVerbs interns every known verb, so that a request needs no allocation for its verb, and makes the
// text of HELP. A handler must not have a verb of the protocol.
func (s *Server) listVerbs() error {
	if s.Handler == nil {
		s.Handler = s.Stock()
	}
	shown := []string{protocol.VerbHelp, protocol.VerbNoop, protocol.VerbQuit, protocol.VerbWhoami}
	if s.Backend != nil {
		shown = append(shown, protocol.VerbOpen, protocol.VerbStream)
	}
	s.verbs = map[string]string{}
	for _, verb := range slices.Concat(shown, piece.Verbs, []string{protocol.VerbAuth, protocol.VerbEhlo, protocol.VerbBody}) {
		s.verbs[verb] = verb
	}
	if known, ok := s.Handler.(verbLister); ok {
		for _, verb := range known.Verbs() {
			if _, taken := s.verbs[verb]; taken {
				return fmt.Errorf("server: the verb %s is built in", verb)
			}
			s.verbs[verb] = verb
			shown = append(shown, verb)
		}
	}
	slices.Sort(shown)
	s.help = strings.Join(shown, "\n")
	s.genericHelp = strings.Join(slices.DeleteFunc(shown, func(verb string) bool { return verb == protocol.VerbStream }), "\n")
	return nil
}
