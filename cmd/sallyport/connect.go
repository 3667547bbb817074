package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/cmd/sallyport/tty"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/audit/show"
)

type connectFlags struct {
	dialFlags
	body     string
	open     bool
	watch    bool
	noEscape bool
	// linger is how long the backend must be quiet after the end of standard input before the end is passed on.
	linger time.Duration
	record string
	raw    bool
	waited bool // for the seat
	// timeout bounds each request. Zero means no limit.
	timeout time.Duration
}

// defaultLinger is that of socat.
const defaultLinger = 500 * time.Millisecond

func connectCommand() *cobra.Command {
	f := &connectFlags{}
	cmd := &cobra.Command{
		Use:   "connect [HOST:] [VERB [ARGUMENT...]]",
		Short: "Talk to a server",
		Long: `Log in, wait for the seat, and talk to the server.

With a verb it sends one request and prints its result, and nothing else, on
standard output. Without one it is an interactive session on a terminal, and
from a pipe it takes one request a line. Notices go to standard error.

In an interactive session exit, QUIT or Ctrl-D leaves with code 0. Ctrl-C clears the
line that you type; on an empty line it leaves, with code 1.

What you type on a terminal while you wait for the seat is discarded when the seat
comes.

On a terminal a result is shown with its control and invisible characters as
escapes, such as \x1b and \u202e. Elsewhere, and with --raw, it comes as it is.

A request has all the time it needs, until Ctrl-C. With --timeout the session
ends with code 1 if a reply takes longer; what became of the request is then
unknown.

With --open it joins the server's backend to standard input and output. On a
terminal that is a console: every key goes to the backend, Ctrl-C and Ctrl-Z too,
and Ctrl-] opens a menu (then q quits and ? helps). What the backend says goes to
the terminal as it is, so it can do there what any program can: don't open what
you would not open with telnet or cu.

From a pipe --open passes all bytes. At the end of the input it waits until the
backend has been silent for --linger, and only then passes the end on, because some
devices drop an unfinished answer then. With a serial line, a pty or serve --console
the stream ends there. Use a longer --linger for a device that answers later.

If the server falls silent, --open ends with code 1 before another client can get
the seat. With a server that is too old for STREAM it uses OPEN: bytes both ways,
no console, and no reason when it ends.

With --watch it shows the backend's output, the last part of the earlier output first,
without taking or waiting for the seat. The server must run with --console and
--watchers N. Nothing is sent to the backend, and the user with the seat sees how many
watch. When the backend goes down or comes back, standard error says so. On a terminal
Ctrl-C or Ctrl-] q ends it, elsewhere a signal. The exit code is 5 if N users watch
already or the operator ends it, and 1 if the server stops, falls silent, or drops you because
you read too slowly (421 too-slow).

` + findHelp + `

With --record it writes the session into a scenario for sallyport replay. There
the user is called Alice, patterns stand for what varies, and the password is
left out.`,
		Example: `  sallyport connect --user alice                     # interactive
  sallyport connect --user alice ECHO hello
  sallyport connect rig1: STAT                       # of the file of hosts
  sallyport connect --any --tag board=imx8 --open    # of a fleet, see sallyport rigs
  sallyport connect --user alice --body waveform.bin LOAD ch1
  sallyport connect --user alice --open              # a console, Ctrl-] q quits
  sallyport connect --user alice --open < commands.txt
  sallyport connect --user bob --watch               # what alice's console shows
  echo '*CAL?' | sallyport connect --user alice --open --linger 1m
  printf 'TIME\nSTAT\n' | sallyport connect --user alice --password-file pw
  sallyport connect --user alice --record session.txtar  # and: sallyport replay session.txtar`,
		RunE: func(_ *cobra.Command, args []string) error { return f.run(args) },
	}
	f.define(cmd)
	f.find.define(cmd)
	// An argument of the request may begin with a dash.
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().StringVar(&f.body, "body", "", "`file` to send as the request's body; - is standard input")
	cmd.Flags().BoolVar(&f.open, "open", false, "join the server's backend to standard input and output; on a terminal as a console")
	cmd.Flags().BoolVar(&f.watch, "watch", false, "show the output of the server's backend, without a seat")
	cmd.Flags().BoolVar(&f.noEscape, "no-escape", false, "with --open: pass on Ctrl-] like any other key")
	cmd.Flags().DurationVar(&f.linger, "linger", defaultLinger, "with --open: how long the backend must have been silent before it gets the end of the input")
	cmd.Flags().BoolVar(&f.raw, "raw", false, "print results as they are, also on a terminal (not in an interactive session)")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "how long the reply to a request may take; 0 is without limit")
	cmd.Flags().StringVar(&f.record, "record", "", "new `file` to record the session in, as a scenario for replay")
	return cmd
}

func (f *connectFlags) run(args []string) error {
	switch {
	case f.watch:
		if err := f.checkWatch(args); err != nil {
			return err
		}
	case f.open && len(args) > 0:
		return usagef("--open takes no verb")
	case f.find.any && f.record != "":
		return usagef("--record needs one server: choose it with --addr or --rig")
	case f.open && f.record != "":
		return usagef("--record can't record the stream of --open")
	case f.body != "" && len(args) == 0:
		return usagef("--body needs a verb")
	case f.body == "-" && f.passwordStdin:
		return usagef("--body - and --password-stdin can't share standard input: use --password-file")
	case f.timeout < 0:
		return usagef("--timeout must not be negative")
	case f.linger < 0:
		return usagef("--linger must not be negative")
	}
	if len(args) > 0 {
		if err := checkVerb(args[0]); err != nil {
			return err
		}
	}
	body, err := f.readBody()
	if err != nil {
		return err
	}
	dialer, who, err := f.prepare()
	if err != nil {
		return err
	}
	dialer.AskTimeouts = f.open || f.watch
	if f.watch {
		return f.watchWith(dialer, who)
	}
	notice := dialer.OnNotice
	dialer.OnNotice = func(n client.Notice) { f.waited = true; notice(n) }
	recording, err := f.newRecording(dialer, who)
	if err != nil {
		return err
	}
	err = f.with(dialer, (*client.Dialer).Dial, who, func(ctx context.Context, c login) error {
		recording.begin()
		return cause(ctx, f.talk(ctx, &session{c.Client, recording, f.timeout}, args, body))
	})
	return errors.Join(err, recording.end(err))
}

// checkVerb returns an error for a verb that the client does not send.
func checkVerb(verb string) error {
	switch upper := strings.ToUpper(verb); {
	case upper == protocol.VerbOpen, upper == protocol.VerbStream:
		return usagef("use --open, as in: sallyport connect --open")
	case upper == protocol.VerbBody:
		return usagef("use --body FILE, as in: sallyport connect --body FILE VERB")
	case !protocol.ValidVerb(upper):
		return usagef("%.40q is not a verb: letters, digits and -", verb)
	}
	return nil
}

// talk sends what the command line asks for: a stream, one request, or those of standard input.
func (f *connectFlags) talk(ctx context.Context, c *session, args []string, body []byte) error {
	switch {
	case f.open:
		return f.join(ctx, c.Client)
	case len(args) > 0:
		return once(ctx, c, protocol.Request{Verb: args[0], Argument: strings.Join(args[1:], " "), Body: body}, f.results())
	case term.IsTerminal(int(os.Stdin.Fd())):
		if f.waited && tty.Discard(int(os.Stdin.Fd())) {
			fmt.Fprintln(os.Stderr, typedEarly)
		}
		return interact(ctx, c, f.addr)
	}
	return batch(ctx, c, f.results())
}

// results returns the writer for results. On a terminal it escapes what the terminal would act on or not show.
func (f *connectFlags) results() io.Writer {
	if stdout.isTerminal() && !f.raw {
		return visible{stdout}
	}
	return stdout
}

func (f *connectFlags) readBody() ([]byte, error) {
	switch f.body {
	case "":
		return nil, nil
	case "-":
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(f.body)
}

// once sends one request and gives the seat back.
func once(ctx context.Context, c *session, r protocol.Request, out io.Writer) error {
	if err := request(ctx, c, r, out); err != nil {
		return err
	}
	if strings.EqualFold(r.Verb, protocol.VerbQuit) {
		return nil
	}
	return c.Quit(ctx)
}

// request sends one request and writes its result: a text with a newline, a body as it is.
func request(ctx context.Context, c *session, r protocol.Request, out io.Writer) error {
	reply, err := c.Do(ctx, r)
	switch {
	case err != nil:
		return err
	case reply.Code == protocol.CodeBody:
		_, err = out.Write(reply.Body)
	case reply.Code != protocol.CodeBye:
		_, err = fmt.Fprintln(out, reply.Text)
	}
	return err
}

// batch sends one request for each line of standard input. A refusal does not
// stop the rest; the exit code reports it.
func batch(ctx context.Context, c *session, out io.Writer) error {
	lines := make(chan input)
	go readLines(lines)
	var failed error
	for notices := c.Notices(); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case n, open := <-notices:
			if !open {
				return c.Err()
			}
			c.noticed(n)
			operatorSays(os.Stderr, n)
		case in := <-lines:
			if errors.Is(in.err, io.EOF) {
				return errors.Join(failed, c.Quit(ctx))
			}
			r := parseRequest(in.line)
			if r.Verb == "" && in.err == nil {
				continue
			}
			refused, err := batchRequest(ctx, c, r, in.err, out)
			if err != nil {
				return err
			}
			if refused {
				failed = statusError{exitRefused}
			}
			if !refused && strings.EqualFold(r.Verb, protocol.VerbQuit) {
				return failed
			}
		}
	}
}

// batchRequest is request, except that it prints a refusal. lineErr is the error of reading the line, or nil.
func batchRequest(ctx context.Context, c *session, r protocol.Request, lineErr error, out io.Writer) (refused bool, err error) {
	if err = lineErr; err == nil {
		err = checkVerb(r.Verb)
	}
	if err == nil {
		err = request(ctx, c, r, out)
	}
	if !refusal(err) && !unsendable(err) {
		return false, err
	}
	fmt.Fprintf(os.Stderr, "%.*s: %s\n", protocol.MaxVerb, show.Printable(r.Verb), message(err))
	return true, nil
}

// refusal reports whether the server refused a request and the session goes on.
func refusal(err error) bool {
	reply, ok := errors.AsType[*protocol.ReplyError](err)
	return ok && reply.Code != protocol.CodeClosing
}

// unsendable reports whether a request was not sent because it is not valid.
func unsendable(err error) bool {
	_, usage := errors.AsType[usageError](err)
	return usage || !errors.Is(err, client.ErrProtocol) &&
		(errors.Is(err, protocol.ErrSyntax) || errors.Is(err, protocol.ErrLineTooLong))
}

// input is a line, or the error of reading it.
type input struct {
	line string
	err  error
}

// readLines sends the lines of standard input. It ends with an input whose error is not
// protocol.ErrLineTooLong. Its goroutine may outlive the session, because a read of a pipe can't be
// interrupted.
func readLines(lines chan<- input) {
	in := newLineReader(os.Stdin)
	for {
		line, err := in.next()
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, protocol.ErrLineTooLong) {
			err = fmt.Errorf("standard input: %w", err)
		}
		lines <- input{line, err}
		if err != nil && !errors.Is(err, protocol.ErrLineTooLong) {
			return
		}
	}
}
