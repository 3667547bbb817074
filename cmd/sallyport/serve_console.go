package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/cmd/sallyport/backend"
	"github.com/sallyport/sallyport/cmd/sallyport/keeper"
	"github.com/sallyport/sallyport/server/state"
)

const keptHelp = `--console keeps the backend open between sessions, and opens it again when it has
ended: after a pause of 1 s to 1 min, for a serial device always 1 s. Its output
goes to console.log in the state directory, each line with its time. The next user
who streams first sees the last part of the output (--backlog). So no boot message
is lost between sessions, but each user also sees the screen of the last user.
SIGHUP opens console.log again after it was moved. With --console SALLYPORT_USER and
SALLYPORT_CONN are empty.

With --watchers N up to N users may watch without a seat: "connect --watch" shows them
the same output, and says when the backend goes down and comes back. Their input does
not reach the backend. The seated user sees how many watch. A watcher that is too slow
is dropped.`

// maxWatchers bounds --watchers. Each can hold watch.Behind bytes.
const maxWatchers = 256

// maxBacklog bounds --backlog, which is kept in memory.
const maxBacklog = 16 << 20

// consoleFlags are the flags of a backend that is kept open.
type consoleFlags struct {
	on             bool
	limit, backlog sizeFlag
	watchers       int
	log            *keeper.Log    // nil without --console
	keeper         *keeper.Keeper // likewise
}

func (f *consoleFlags) define(cmd *cobra.Command) {
	f.limit, f.backlog = 64<<20, 64<<10
	flags := cmd.Flags()
	flags.BoolVar(&f.on, "console", false, "keep the backend open between sessions, record its output in console.log, and show the last part to the next user")
	flags.Var(&f.limit, "console-limit", "where console.log is renamed to console.log.1 and begins anew")
	flags.Var(sizeOrNone{&f.backlog}, "backlog", "how much of the backend's last output is shown to a user who begins to stream or watch; 0: nothing")
	flags.IntVar(&f.watchers, "watchers", 0, "`number` of users that may watch the backend's output, without a seat (connect --watch)")
}

// sizeOrNone is a size that may be 0.
type sizeOrNone struct{ *sizeFlag }

func (f sizeOrNone) Set(s string) error {
	if s == "0" {
		*f.sizeFlag = 0
		return nil
	}
	return f.sizeFlag.Set(s)
}

// check checks the flags.
func (f *consoleFlags) check(cmd *cobra.Command, b *backend.Backend) error {
	switch {
	case f.on && b == nil:
		return usagef("--console goes with --backend")
	case f.watchers < 0 || f.watchers > maxWatchers:
		return usagef("--watchers is from 0 to %d", maxWatchers)
	case !f.on && f.watchers > 0:
		return usagef("--watchers goes with --console")
	case !f.on && (cmd.Flags().Changed("backlog") || cmd.Flags().Changed("console-limit")):
		return usagef("--backlog and --console-limit go with --console")
	case f.limit < minLimit:
		return usagef("--console-limit is at least %v", &minLimit)
	case f.backlog > maxBacklog:
		return usagef("--backlog is at most 16MiB")
	}
	return nil
}

// minLimit keeps a log from being renamed all the time.
var minLimit = sizeFlag(4 << 10)

// begin keeps the backend open until end.
func (f *consoleFlags) begin(paths state.Paths, b *backend.Backend, log *slog.Logger) (end func(), err error) {
	if !f.on {
		return func() {}, nil
	}
	if f.log, err = keeper.OpenLog(paths.Console(), int64(f.limit), log); err != nil {
		return nil, err
	}
	log.Warn("what the backend says is recorded, and each user sees the last one's screen", "record", paths.Console(), "backlog", f.backlog.String())
	speed, form := b.Line()
	f.keeper = keeper.New(keeper.Options{
		Speed: speed, Form: form,
		Open:   func(ctx context.Context) (io.ReadWriteCloser, error) { return b.Open(ctx, backend.Client{}) },
		Record: f.log, Backlog: int(f.backlog), Watchers: f.watchers, MaxPause: longestPause(b), Log: log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.keeper.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
		_ = f.log.Close()
	}, nil
}

// longestPause returns keeper.Options.MaxPause for a backend. A serial adapter that is plugged in again must be found
// before its board has said much, and looking for it is cheap.
func longestPause(b *backend.Backend) time.Duration {
	if speed, _ := b.Line(); speed > 0 {
		return time.Second
	}
	return 0
}

// reopen opens console.log again.
func (f *consoleFlags) reopen() error {
	if f.log == nil {
		return nil
	}
	return f.log.Reopen()
}
