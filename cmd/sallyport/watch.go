package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/stream"
	"github.com/sallyport/sallyport/cmd/sallyport/spool"
	"github.com/sallyport/sallyport/cmd/sallyport/tty"
	"github.com/sallyport/sallyport/protocol"
)

const (
	watchMenu = "q quit, ? help: "
	watchHelp = `Ctrl-] and then
  q       quit: stop watching
  ?       show this help
Ctrl-C stops watching too. Other keys do nothing.`
	ctrlCKey = 0x03
)

// errFellSilent ends a watcher whose server does not answer.
var errFellSilent = errors.New("the server has not answered in time")

// checkWatch checks the flags that go with --watch.
func (f *connectFlags) checkWatch(args []string) error {
	if f.watch && (f.open || f.body != "" || f.record != "" || len(args) > 0) {
		return usagef("--watch only shows what the backend says: give no verb, --open, --body or --record with it")
	}
	if f.find.any {
		return usagef("--watch needs one rig: choose it with --rig")
	}
	return nil
}

// watchWith logs in and shows what the backend says, until either side ends it.
func (f *connectFlags) watchWith(dialer *client.Dialer, who client.Credentials) error {
	err := f.with(dialer, (*client.Dialer).Watch, who, func(ctx context.Context, c login) error {
		return cause(ctx, f.show(ctx, c.Client))
	})
	if reply, ok := errors.AsType[*protocol.ReplyError](err); ok && errors.Is(err, client.ErrBusy) { // it is not about the seat
		return worded{err, fmt.Sprintf("%v: try again when one of them has left", reply)}
	}
	return err
}

func (f *connectFlags) show(ctx context.Context, c *client.Client) error {
	messages := spool.New(os.Stderr)
	defer messages.Close(time.Second)
	j := newJoint(stream.Watch(c), c, messages)
	j.watches = true
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		j.screen.Printf("watching %s", f.addr)
		return j.run(ctx)
	}
	leave, err := j.takeTerminal()
	if err != nil {
		return err
	}
	defer leave()
	j.screen.Printf("watching %s, Ctrl-C ends it", f.addr)
	go j.guard(j.watchKeys)
	return j.run(ctx)
}

// watchKeys reads what a watcher types, until the watcher leaves or the terminal is gone. Nothing of it is sent.
func (j *joint) watchKeys() {
	defer close(j.left)
	var escape tty.Escape
	for buffer := make([]byte, 4096); ; {
		n, err := os.Stdin.Read(buffer)
		for _, e := range escape.Type(buffer[:n]) {
			switch e.Action {
			case tty.Quit:
				return
			case tty.Send:
				if bytes.IndexByte(e.Text, ctrlCKey) >= 0 {
					return
				}
				j.screen.EndQuestion()
			case tty.Menu:
				j.screen.Ask(watchMenu)
			case tty.Back:
				j.screen.EndQuestion()
			default:
				j.screen.Printf("%s", watchHelp)
			}
		}
		if err != nil {
			return
		}
	}
}

// notWatched adds what the operator must do so that the server allows watchers.
func notWatched(err error) error {
	if errors.Is(err, client.ErrNoWatch) {
		return fmt.Errorf("%w: it must be started with --console --watchers N", err)
	}
	return err
}
