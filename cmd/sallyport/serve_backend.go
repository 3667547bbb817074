package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/cmd/sallyport/backend"
	"github.com/sallyport/sallyport/cmd/sallyport/keeper"
	"github.com/sallyport/sallyport/server"
)

const backendHelp = `--backend is what clients reach with "connect --open":
  tcp:HOST:PORT, unix:PATH   a service that knows nothing of Sallyport
  serial:DEVICE,115200,8N1   a serial device that is opened for each session,
                             for this server alone; ",rtscts" adds flow control
  exec:COMMAND               what /bin/sh -c COMMAND reads and writes; its
                             standard error is the server's
  pty:COMMAND                the same on a terminal (Linux, macOS)
COMMAND runs for one session, with PATH, HOME, LANG, TERM, SALLYPORT_USER and
SALLYPORT_CONN in its environment, and with --fleet-seat the fencing token in
SALLYPORT_TOKEN. If it can't be run (the shell's exit codes 126 and 127), the stream
fails; with any other code the stream ends. When the session ends, COMMAND and
everything that it has started get SIGTERM, and SIGKILL after 5 s; only then the
next client is seated. COMMAND ends with the server too, even if the server is
killed. (On systems other than Linux this ends only COMMAND's process group, as with
hold.) COMMAND runs as the server's user, who can read the server's keys and write
its log. If clients can make COMMAND do what they want, as with a shell or a
debugger, run it as another user with --backend-user, for which serve needs root.

If the backend can't be reached when serve starts, serve warns, and tries again for
each session.`

// backendFlags are the flags of the backend.
type backendFlags struct {
	spec    string
	options backend.Options
	backend *backend.Backend // nil without --backend
}

func (f *backendFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.spec, "backend", "", "what OPEN and STREAM reach: tcp:HOST:PORT, unix:PATH, serial:DEVICE,SPEED,FORM[,rtscts], exec:COMMAND or pty:COMMAND")
	flags.StringVar(&f.options.User, "backend-user", "", "`name` of the user that the command of exec: or pty: runs as (needs root)")
	flags.DurationVar(&f.options.Timeout, "backend-timeout", 10*time.Second, "how long connecting to the backend may take")
}

// parse reads the flags.
func (f *backendFlags) parse() (err error) {
	switch {
	case f.options.Timeout <= 0:
		return usagef("--backend-timeout is longer than 0")
	case f.spec == "" && f.options.User != "":
		return usagef("--backend-user goes with --backend exec:COMMAND or pty:COMMAND")
	case f.spec == "":
		return nil
	}
	f.backend, err = backend.Parse(f.spec, f.options)
	return backendError(err)
}

// logTo sets where the messages of the backend go.
func (f *backendFlags) logTo(log *slog.Logger, stderr io.Writer) {
	if f.backend != nil {
		f.backend.Log, f.backend.Stderr = log, backendStderr{stderr}
	}
}

// check warns the operator of what is wrong with the backend. It returns an error if the backend can never work. A
// backend that is kept open is not opened for that, because what it says meanwhile would be lost.
func (f *backendFlags) check(log *slog.Logger, isKept bool) error {
	if f.backend == nil {
		return nil
	}
	if f.backend.RunsAsServer() {
		log.Warn("the backend's command can read this server's keys and write its log: for clients that you don't trust with these, "+
			"choose another user with --backend-user", "backend", f.spec)
	}
	if isKept {
		return nil // the keeper opens it, and warns
	}
	err := f.backend.Check()
	if _, ok := errors.AsType[backend.UsageError](err); ok {
		return backendError(err)
	}
	if err != nil {
		log.Warn("the backend can't be reached now: it is tried again for each session", "backend", f.spec, "error", message(err))
	}
	return nil
}

// backendError gives an error of usage its exit code.
func backendError(err error) error {
	if text, ok := errors.AsType[backend.UsageError](err); ok {
		return usageError{string(text)}
	}
	return err
}

// backendStderr marks the lines of a command, so that the operator does not take them for the server's.
type backendStderr struct{ io.Writer }

func (w backendStderr) Write(line []byte) (int, error) {
	return visible{w.Writer}.Write(append([]byte("backend: "), line...))
}

// set sets the server's backend: through a keeper or, if that is nil, anew for each session.
func (f *backendFlags) set(s *server.Server, k *keeper.Keeper, watchers int) {
	switch {
	case f.backend == nil:
		return
	case k != nil:
		s.Backend = func(ctx context.Context, _ *server.Request) (io.ReadWriteCloser, error) { return k.Open(ctx) }
		if watchers > 0 {
			s.Watch = k.Watch
		}
		return
	}
	s.Backend = func(ctx context.Context, r *server.Request) (io.ReadWriteCloser, error) {
		return f.backend.Open(ctx, backend.Client{User: r.User, Conn: r.Conn, Token: r.Token})
	}
}
