package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/cmd/sallyport/tty"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/audit/show"
)

const (
	consoleMenu = "q quit, b break, l line speed, w who waits, ? help: "
	consoleHelp = `Ctrl-] and then
  q       quit: end the session and leave
  b       send a break, if the backend is a serial line
  l       set the speed and form of a serial line, for this session
  w       say how many wait for the seat
  ?       show this help
  Ctrl-]  send Ctrl-] to the backend
  Enter   go back`
)

// typedEarly is the message that keys typed before the seat came were not sent: the user did not know then what would
// read them.
const typedEarly = "what you typed while you waited was discarded"

// console joins the terminal: each key goes to the backend, except behind the escape key.
func (j *joint) console(ctx context.Context, f *connectFlags) error {
	leave, err := j.takeTerminal()
	if err != nil {
		return err
	}
	defer leave()
	in := int(os.Stdin.Fd())
	if f.waited && tty.Discard(in) {
		j.screen.Printf(typedEarly)
	}
	j.tellSize(in)
	if f.noEscape {
		j.screen.Printf("seated at %s, without an escape key", f.addr)
	} else {
		j.screen.Printf("seated at %s, escape is Ctrl-]", f.addr)
	}
	go j.guard(func() { j.keys(f.noEscape) })
	if err := j.run(ctx); err != nil {
		return err
	}
	select {
	case <-j.left:
	default:
		j.screen.Printf("the backend has ended the stream")
	}
	return nil
}

// takeTerminal makes the terminal raw until leave is called.
func (j *joint) takeTerminal() (leave func(), err error) {
	in := int(os.Stdin.Fd())
	restore, err := makeRaw(in, true)
	if err != nil {
		return nil, err
	}
	j.restore, j.screen.Raw = restore, term.IsTerminal(int(os.Stderr.Fd()))
	changes, stop := tty.Changes()
	j.resized, j.resize = changes, func() {
		_, _ = term.MakeRaw(in) // the shell may have restored its own mode while this process was stopped
		if !j.watches {
			j.tellSize(in)
		}
	}
	return func() {
		stop()
		j.screen.EndLine()
		j.messages.Close(time.Second) // while the terminal is raw
		restore()
	}, nil
}

// tellSize tells the backend the terminal's size. Unknown is 0, which Window refuses.
func (j *joint) tellSize(in int) {
	for _, fd := range []int{in, int(os.Stdout.Fd())} { // on Windows only the latter has a size
		if columns, rows, err := term.GetSize(fd); err == nil {
			_ = j.Window(columns, rows)
			return
		}
	}
}

// keys passes on what is typed, until the user leaves or the terminal is gone. It may outlive the stream: nothing
// wakes a read of a terminal.
func (j *joint) keys(noEscape bool) {
	defer close(j.left)
	var escape tty.Escape
	for buffer := make([]byte, 4096); ; {
		n, err := os.Stdin.Read(buffer)
		typed := buffer[:n]
		if noEscape {
			_, _ = j.Write(typed) // run reports the end
		} else if !j.do(escape.Type(typed)) {
			return
		}
		if err != nil {
			return
		}
	}
}

// do does what was typed, and returns false if the user leaves.
func (j *joint) do(events []tty.Event) bool {
	for _, e := range events {
		switch e.Action {
		case tty.Send:
			j.screen.EndQuestion()
			_, _ = j.Write(e.Text) // run reports the end
		case tty.Menu:
			j.screen.Ask(consoleMenu)
		case tty.Quit:
			return false
		case tty.Break:
			j.sent(j.Break(), "sent a break: a serial line passes it on, another backend ignores it")
		case tty.AskLine:
			j.screen.Ask("speed and form, such as 9600 or 9600,7E1: ")
		case tty.Echo:
			j.screen.Echo(e.Text)
		case tty.SetLine:
			j.setLine(string(e.Text))
		case tty.Who:
			j.who()
		case tty.Help:
			j.screen.Printf("%s", consoleHelp)
		case tty.Back:
			j.screen.EndQuestion()
		}
	}
	return true
}

// sent says what was sent to the backend, unless the stream is over.
func (j *joint) sent(err error, text string) {
	if err == nil {
		j.screen.Printf("%s", text)
	}
}

// setLine sets a serial line. A speed alone is 8 data bits, no parity, 1 stop bit.
func (j *joint) setLine(spec string) {
	if !strings.Contains(spec, ",") {
		spec += ",8N1"
	}
	err := j.Line(spec)
	if errors.Is(err, protocol.ErrArgument) {
		j.screen.Printf("%s is no speed and form: try 115200 or 9600,7E1", show.Printable(spec))
		return
	}
	j.sent(err, "sent "+spec+": a serial line has it until this session ends, another backend ignores it")
}

// who says who else is there.
func (j *joint) who() {
	watching := j.watching.Load()
	switch waiting := j.waiting.Load(); {
	case watching > 0:
		j.screen.Printf("%d waiting, %d watching", waiting, watching)
	case waiting > 0:
		j.screen.Printf("%d waiting", waiting)
	default:
		j.screen.Printf("nobody is waiting")
	}
}
