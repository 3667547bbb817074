package main

import (
	"io"
	"os"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/server"
)

// chat joins the operator's terminal to the seated client: what is typed is
// sent to it, and its SAY is shown. Ctrl-C stops the server, as it does without
// chat; Ctrl-D ends the typing alone.
type chat struct{ *console }

// newChat takes the terminal, and what the server has to say goes above the
// prompt, too.
func newChat(s *server.Server) (*chat, error) {
	con, err := newConsole("chat> ")
	if err != nil {
		return nil, err
	}
	if con.isTerminal {
		con.printf("what you type goes to the seated client; Ctrl-D closes the chat, Ctrl-C stops the server")
	}
	s.OnSay = func(user, text string) { con.printf("%s: %s", printable(user), printable(text)) }
	return &chat{con}, nil
}

// run sends what is typed until there is no more, and then asks to stop where
// a person has typed Ctrl-C. After Ctrl-D the terminal is again what it was, so
// that Ctrl-C is a signal.
func (c *chat) run(s *server.Server, stop chan<- os.Signal) {
	for line := range c.lines {
		if line == "" {
			continue
		}
		if err := s.Say(line); err != nil {
			c.printf("! not delivered: %v", err)
		}
	}
	switch t, isTerminal := c.out.(*term.Terminal); {
	case !isTerminal:
	case *c.ctrlC:
		stop <- os.Interrupt
	default:
		t.SetPrompt("")
		c.printf("the chat is closed; Ctrl-C stops the server")
		c.restore()
	}
}

// logWriter is where the program's own messages go.
func (c *chat) logWriter() io.Writer {
	if c != nil && c.isTerminal {
		return c.out
	}
	return os.Stderr
}
