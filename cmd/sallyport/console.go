package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/audit/show"
)

// console is a terminal with line editing and history. What is printed appears
// above the prompt. Without a terminal it is plain lines in and out.
type console struct {
	out        io.Writer
	isTerminal bool
	// restore gives the terminal back.
	restore func()
	// lines receives each line that was typed. It is closed at the end of the input.
	lines chan string
	// ctrlC reports whether Ctrl-C on an empty line ended the input. It is set before lines is closed.
	ctrlC *bool
	// verbs completes the verb that is typed.
	verbs *verbs
	// leave cancels a running request. It ends leaveAfter after the end of the input, and at Ctrl-C at once.
	leave context.Context
	left  context.CancelFunc
}

// leaveAfter bounds a running request after Ctrl-D.
const leaveAfter = 2 * time.Second

// Errors for a person who leaves a server that does not answer.
var (
	errLeft      = errors.New("interrupted: what became of the request is unknown")
	errNoGoodbye = errors.New("interrupted: the server doesn't answer")
)

// newConsole takes the terminal until restore is called.
func newConsole(prompt string) (*console, error) {
	c := &console{out: stdout, lines: make(chan string, 64), restore: func() {}, ctrlC: new(bool), verbs: &verbs{}}
	c.leave, c.left = context.WithCancel(context.Background())
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		go c.read(newLineReader(os.Stdin).next)
		return c, nil
	}
	var err error
	if c.restore, err = makeRaw(in, true); err != nil {
		return nil, err
	}
	c.verbs = &verbs{wanted: make(chan chan<- []string), list: c.printf}
	k := &keys{Reader: os.Stdin, ctrlC: c.ctrlC, verbs: c.verbs}
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{k, stdout}, prompt)
	t.AutoCompleteCallback = k.typed
	c.out, c.isTerminal = t, true
	go c.read(func() (string, error) {
		if width, height, err := term.GetSize(in); err == nil && width > 0 {
			_ = t.SetSize(width, height)
		}
		return k.line(t.ReadLine())
	})
	return c, nil
}

// read sends lines until there are no more. It may outlive the console: nothing wakes a read of a terminal.
func (c *console) read(next func() (string, error)) {
	defer close(c.lines)
	for {
		line, err := next()
		if unsendable(err) {
			c.printf("! nothing was sent: %s", message(err))
			continue
		}
		if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
			if *c.ctrlC {
				c.left()
			}
			time.AfterFunc(leaveAfter, c.left)
			return
		}
		c.lines <- line
	}
}

func (c *console) printf(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }

// interact is the interactive client. It sends each line that is typed as a
// request, and shows replies and notices.
func interact(ctx context.Context, c *session, addr string) error {
	con, err := newConsole("> ")
	if err != nil {
		return err
	}
	defer con.end()
	request, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(con.leave, cancel)()
	con.printf("seated at %s; ? lists the verbs, Tab completes one, exit or Ctrl-D leaves", addr)
	notices := c.Notices()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case n, open := <-notices:
			if !open {
				return c.Err()
			}
			c.noticed(n)
			con.printf("* %s", show.Printable(n.Text))
		case answer := <-con.verbs.wanted:
			if err := listVerbs(request, c, answer); err != nil {
				return err
			}
		case line, open := <-con.lines:
			if !open || con.leave.Err() != nil || leaves(line) {
				err := leave(ctx, c)
				if err == nil && !open && *con.ctrlC {
					return statusError{exitFailed}
				}
				return err
			}
			if err := typed(request, c, con, line); err != nil {
				if con.leave.Err() != nil {
					return errLeft
				}
				return err
			}
		}
	}
}

// end removes the prompt, with what is typed there, and restores the terminal.
func (c *console) end() {
	if t, isTerminal := c.out.(*term.Terminal); isTerminal {
		t.SetPrompt("")
		fmt.Fprint(stdout, "\r\x1b[K")
	}
	c.restore()
}

// leaves reports whether a line that was typed ends the session.
func leaves(line string) bool {
	word := strings.TrimSpace(line)
	return strings.EqualFold(word, protocol.VerbQuit) || strings.EqualFold(word, "exit")
}

// leave gives the seat back. It does not wait long for a server that hangs: the
// input has ended, so that the user can't interrupt it.
func leave(ctx context.Context, c *session) error {
	ctx, cancel := context.WithTimeoutCause(ctx, leaveAfter, errNoGoodbye)
	defer cancel()
	return cause(ctx, c.Quit(ctx))
}

// typed sends a line that was typed. It shows a refusal, and the session goes on.
func typed(ctx context.Context, c *session, con *console, line string) error {
	if strings.TrimSpace(line) == "?" {
		line = protocol.VerbHelp
	}
	r := parseRequest(line)
	if r.Verb == "" {
		return nil
	}
	if err := checkVerb(r.Verb); err != nil {
		con.printf("! %s", message(err))
		return nil
	}
	reply, err := c.Do(ctx, r)
	switch {
	case refusal(err) || err != nil && c.Err() == nil:
		con.printf("! %s", message(err))
	case err != nil:
		return err
	default:
		con.show(reply)
	}
	return nil
}

// show prints what a reply says.
func (c *console) show(reply protocol.Reply) {
	text := reply.Text
	if reply.Code == protocol.CodeBody {
		text = string(reply.Body)
	}
	for line := range strings.Lines(text + "\n") {
		c.printf("%s", show.Printable(strings.TrimSuffix(line, "\n")))
	}
}
