package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

// console is a terminal with line editing and history, on which lines that
// come meanwhile are drawn above the prompt. Where standard input is no
// terminal it is plain lines in and out.
type console struct {
	out        io.Writer
	lines      chan string // closed at the end of the input
	restore    func()
	isTerminal bool
}

// newConsole takes the terminal until restore.
func newConsole(prompt string) (*console, error) {
	c := &console{out: os.Stdout, lines: make(chan string), restore: func() {}}
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		go c.read(newLineReader(os.Stdin))
		return c, nil
	}
	old, err := term.MakeRaw(in)
	if err != nil {
		return nil, err
	}
	c.restore = func() { _ = term.Restore(in, old) }
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{os.Stdin, os.Stdout}, prompt)
	c.out, c.isTerminal = t, true
	go c.read(func() (string, error) {
		if width, height, err := term.GetSize(in); err == nil && width > 0 {
			_ = t.SetSize(width, height)
		}
		return t.ReadLine()
	})
	return c, nil
}

// read hands on lines until there are no more. It outlives the console where
// nobody types: nothing wakes a read of a terminal.
func (c *console) read(next func() (string, error)) {
	defer close(c.lines)
	for {
		line, err := next()
		if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
			return
		}
		c.lines <- line
	}
}

func (c *console) printf(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }

// interact is the manual client: what is typed is sent, a request a line, and
// what comes is shown, notices above the prompt.
func interact(ctx context.Context, c *client.Client, addr string) error {
	con, err := newConsole("> ")
	if err != nil {
		return err
	}
	defer con.restore()
	con.printf("seated at %s; HELP lists what can be asked, QUIT or Ctrl-D leaves", addr)
	notices := c.Notices()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case n, open := <-notices:
			if !open {
				return c.Err()
			}
			con.printf("* %s", printable(n.Text))
		case line, open := <-con.lines:
			if !open || strings.EqualFold(strings.TrimSpace(line), protocol.VerbQuit) {
				return c.Quit(ctx)
			}
			if err := typed(ctx, c, con, line); err != nil {
				return err
			}
		}
	}
}

// typed sends a line that was typed. What the server refuses is shown, and the
// session goes on.
func typed(ctx context.Context, c *client.Client, con *console, line string) error {
	verb, argument, _ := strings.Cut(line, " ")
	if verb == "" {
		return nil
	}
	if strings.EqualFold(verb, protocol.VerbOpen) {
		con.printf("! a raw stream is for sallyport connect --open")
		return nil
	}
	reply, err := c.Do(ctx, protocol.Request{Verb: verb, Argument: argument})
	refused, isReply := errors.AsType[*protocol.ReplyError](err)
	switch {
	case isReply && refused.Code != protocol.CodeClosing:
		con.printf("! %s", printable(refused.Error()))
	case err != nil && c.Err() != nil:
		return err
	case err != nil:
		con.printf("! %v", err)
	default:
		show(con, reply)
	}
	return nil
}

func show(con *console, reply protocol.Reply) {
	text := reply.Text
	if reply.Code == protocol.CodeBody {
		text = string(reply.Body)
	}
	for line := range strings.Lines(text + "\n") {
		con.printf("%s", printable(strings.TrimSuffix(line, "\n")))
	}
}

// newLineReader reads lines where there is no terminal.
func newLineReader(r io.Reader) func() (string, error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 2*protocol.MaxLine)
	return func() (string, error) {
		if in.Scan() {
			return in.Text(), nil
		}
		return "", errors.Join(io.EOF, in.Err())
	}
}
