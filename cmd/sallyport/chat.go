package main

import (
	"io"
	"os"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit/show"
)

// chat joins the operator's terminal to the seated client: it sends what is typed, and shows the client's SAY.
// Ctrl-C clears a line that is typed, and otherwise stops the server, as without a chat. Ctrl-D only ends the chat.
type chat struct{ *console }

// newChat takes the terminal. The server's messages go above the prompt too.
func newChat(s *server.Server) (*chat, error) {
	con, err := newConsole("chat> ")
	if err != nil {
		return nil, err
	}
	s.OnSay = func(user, text string) { con.printf("%s: %s", show.Printable(user), show.Printable(text)) }
	return &chat{con}, nil
}

// greet says what the keys do.
func (c *chat) greet() {
	if c.isTerminal {
		c.printf("what you type goes to the seated client; Ctrl-D closes the chat, Ctrl-C stops the server")
	}
}

// run sends what is typed until there is no more. After Ctrl-C it stops the
// server. After Ctrl-D it restores the terminal, so that Ctrl-C is a signal again.
func (c *chat) run(s *server.Server, stop chan<- os.Signal) {
	for line := range c.lines {
		if line == "" {
			continue
		}
		if err := s.Say(line); err != nil {
			c.printf("! not delivered: %s", message(err))
		}
	}
	switch {
	case !c.isTerminal:
	case *c.ctrlC:
		stop <- os.Interrupt
	default:
		c.end("the chat is closed; Ctrl-C stops the server")
	}
}

// end prints a text, removes the prompt with its input, and restores the terminal, so that Ctrl-C is a signal again.
func (c *chat) end(text string) {
	if t, isTerminal := c.out.(*term.Terminal); isTerminal {
		t.SetPrompt("")
		c.printf("%s", text)
	}
	c.console.end()
}

// logWriter returns the writer for the server's messages.
func (c *chat) logWriter(stderr io.Writer) io.Writer {
	if c.isTerminal {
		return c.out
	}
	return stderr
}
