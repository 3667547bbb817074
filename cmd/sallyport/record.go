package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/server/audit/show"
)

// recording is a file that a session is recorded in. A nil recording records nothing.
type recording struct {
	file  *os.File
	tape  *scenarios.Recording
	begun bool // the login succeeded
}

// newRecording makes a recording for --record, in a new file. Without --record it returns nil.
func (f *connectFlags) newRecording(d *client.Dialer, who client.Credentials) (*recording, error) {
	if f.record == "" {
		return nil, nil
	}
	if utf8.RuneCountInString(who.Password) < scenarios.MinPassword {
		return nil, fmt.Errorf("--record can't hide a password of fewer than %d characters", scenarios.MinPassword)
	}
	file, err := os.OpenFile(f.record, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, usagef("%s exists, and --record overwrites nothing", f.record)
	}
	if err != nil {
		return nil, err
	}
	r := &recording{file: file, tape: scenarios.NewRecording(file, withPort(f.addr), who, time.Now())}
	show := d.OnNotice
	d.OnNotice = func(n client.Notice) { show(n); r.tape.Notice(n) }
	return r, nil
}

// begin records that the session begins.
func (r *recording) begin() {
	if r != nil {
		r.begun = true
		r.tape.Login()
	}
}

// end records why the session ended, if not by a QUIT. Without a session it removes the file.
func (r *recording) end(reason error) error {
	switch {
	case r == nil:
		return nil
	case !r.begun:
		return errors.Join(r.file.Close(), os.Remove(r.file.Name()))
	}
	if _, printed := errors.AsType[statusError](reason); printed || refusal(reason) || unsendable(reason) {
		reason = nil // recorded with its request
	}
	if err := errors.Join(r.tape.End(reason), r.file.Close()); err != nil {
		return fmt.Errorf("the recording is not complete: %w", err)
	}
	fmt.Fprintf(os.Stderr, "recorded in %s; next: %s replay %s\n", show.Printable(r.file.Name()), quoteArg(os.Args[0]), quoteArg(r.file.Name()))
	return nil
}

// session is a client whose requests are recorded if recording is not nil.
type session struct {
	*client.Client
	*recording
	// timeout bounds each request. Zero means no limit.
	timeout time.Duration
}

var errNoReply = errors.New("no reply within --timeout: what became of the request is unknown")

// bounded returns a context for one request, which ends after the timeout.
func (s *session) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, s.timeout, errNoReply)
}

// Do sends a request and records it. It does not send what can't be recorded.
func (s *session) Do(ctx context.Context, r protocol.Request) (protocol.Reply, error) {
	if s.recording != nil {
		if err := s.tape.Allows(r); err != nil {
			return protocol.Reply{}, usagef("%v", err)
		}
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	reply, err := s.Client.Do(ctx, r)
	if s.recording != nil && !unsendable(err) {
		s.tape.Exchange(r, reply, err)
	}
	return reply, cause(ctx, err)
}

// Quit gives the seat back and records that.
func (s *session) Quit(ctx context.Context) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	err := cause(ctx, s.Client.Quit(ctx))
	if s.recording != nil && err == nil {
		s.tape.Quit()
	}
	return err
}

// noticed records a notice.
func (s *session) noticed(n client.Notice) {
	if s.recording != nil {
		s.tape.Notice(n)
	}
}
