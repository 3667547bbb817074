package main

import (
	"io"
	"os"

	"github.com/sallyport/sallyport/server"
)

// chat joins the operator's terminal to the seated client: what is typed is
// sent to it, and its SAY is shown. Ctrl-C or Ctrl-D stops the server, as
// Ctrl-C does without chat.
type chat struct{ *console }

// newChat takes the terminal, and what the server has to say goes above the
// prompt, too.
func newChat(s *server.Server) (*chat, error) {
	con, err := newConsole("chat> ")
	if err != nil {
		return nil, err
	}
	s.OnSay = func(user, text string) { con.printf("%s: %s", printable(user), printable(text)) }
	return &chat{con}, nil
}

// run sends what is typed until there is no more, and then asks to stop where
// a person has typed it.
func (c *chat) run(s *server.Server, stop chan<- os.Signal) {
	for line := range c.lines {
		if line == "" {
			continue
		}
		if err := s.Say(line); err != nil {
			c.printf("! not delivered: %v", err)
		}
	}
	if c.isTerminal {
		stop <- os.Interrupt
	}
}

// logWriter is where the program's own messages go.
func (c *chat) logWriter() io.Writer {
	if c != nil && c.isTerminal {
		return c.out
	}
	return os.Stderr
}
