// Package stream joins a program to the server's backend with STREAM, and leaves the connection to other requests
// afterwards. [Open] begins a stream, [Stream.Read] and [Stream.Write] carry its bytes, [Stream.CloseWrite] or
// [Stream.Abort] ends it, and [Stream.Wait] returns how it ended.
//
// A program reads while it writes. The package reads the connection all the time and keeps up to 1 MiB that the
// program has not read. Beyond that it stops until the program reads again: until then Ping has no answer, Write
// may have no room, Wait does not return, and an eviction is not noticed.
//
// The reason why a stream ended early is the error of Read, after all bytes that came before, and of all other
// calls: a *protocol.ReplyError (with code 421 the session has ended too), client.ErrProtocol, or the loss of the
// connection. An io.EOF of Read means that the backend has ended its direction; only Wait says that nothing
// failed. Notices arrive at [client.Client.Notices] as always.
package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/piece"
)

// ErrOver is the error of calls after a stream that ended as asked: Read after Abort, and Ping after the end.
var ErrOver = errors.New("stream: the stream has ended")

// errPiece means that the server broke the rules of a stream. The client turns it into client.ErrProtocol.
var errPiece = fmt.Errorf("%w in a stream", protocol.ErrReply)

// Stream is a running STREAM. Its methods are safe for concurrent use, except that one goroutine reads.
type Stream struct {
	client  *client.Client
	joined  chan struct{} // closed at the 152
	over    chan struct{} // closed after the end
	err     error         // why the stream is over, never nil; set before over is closed
	in, out int64         // of the final reply
	ended   bool          // 151 0 came
	live    bool          // the backlog is skipped
	watches bool          // without a seat
	old     int           // bytes of the backlog that are still to come
	begun   bool          // a 151 came, so no backlog follows
	unread  *buffer
	window  *window

	writing  sync.Mutex    // held by one Write
	frame    []byte        // of that Write
	sending  chan struct{} // holds a token. Its owner may send and use the flags below
	finished bool          // DATA 0 or ABORT was sent
	aborted  bool          // ABORT was sent
	answered bool          // the final reply came: nothing may be sent any more
}

// Open sends STREAM and returns when the backend is reached. A refusal is a *protocol.ReplyError, after which the
// Client stays usable: code 500 means that the server has no backend or doesn't know STREAM, 554 that it can't
// reach the backend. If ctx ends first, Open closes the connection. Other requests of the Client fail with
// client.ErrStream until [Stream.Wait] returns.
//
// A server that keeps its backend open may begin with the backend's output from before the stream. The notice
// "backlog N" has the number of these bytes. [OpenLive] skips them.
func Open(ctx context.Context, c *client.Client) (*Stream, error) { return begin(ctx, c, false) }

// OpenLive is Open for a program that must not mistake output from before the stream for an answer. Read skips that
// output.
func OpenLive(ctx context.Context, c *client.Client) (*Stream, error) { return begin(ctx, c, true) }

func begin(ctx context.Context, c *client.Client, live bool) (*Stream, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s := newStream(c)
	s.live = live
	defer context.AfterFunc(ctx, func() { c.Close() })()
	go s.run(protocol.VerbStream, func() {})
	select {
	case <-s.joined:
		return s, nil
	case <-s.over:
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, s.err
}

func newStream(c *client.Client) *Stream {
	s := &Stream{
		client: c, joined: make(chan struct{}), over: make(chan struct{}), unread: newBuffer(c.Done()),
		window: newWindow(), sending: make(chan struct{}, 1),
	}
	s.sending <- struct{}{}
	return s
}

// run waits for the end of the stream. See DoPieces for queued.
func (s *Stream) run(verb string, queued func()) {
	_, s.err = s.client.DoPieces(context.Background(), verb, s.receive, queued)
	switch {
	case s.err == nil:
		s.err = ErrOver
	case errors.Is(s.err, io.EOF): // of the connection: no reader may take it for the backend's
		s.err = fmt.Errorf("stream: connection lost: %w", io.ErrUnexpectedEOF)
	}
	close(s.over)
	s.window.close()
	s.unread.end(s.err)
}

// receive takes a line of the server, and the bytes of a 151.
func (s *Stream) receive(reply protocol.Reply, r *protocol.Reader) error {
	joined := s.isJoined()
	switch {
	case reply.Code.Notice():
		if joined && !s.begun {
			s.skip(reply)
		}
		return nil
	case !joined && reply.Code == protocol.CodeStreaming:
		close(s.joined)
		return nil
	case joined && reply.Code == protocol.CodePiece:
		return s.receivePiece(reply.Text, r)
	case joined && reply.Code == protocol.CodeTaken:
		return s.window.answer(reply.Text)
	case s.watches && reply.Code == protocol.CodeBye:
		return nil
	case joined && reply.Code == protocol.CodeDone && !s.watches, reply.Code.Failure():
		return s.finish(reply)
	}
	return fmt.Errorf("%w: a %d", errPiece, reply.Code)
}

// skip notes how long the backlog is, if the notice says so and the program doesn't want it.
func (s *Stream) skip(notice protocol.Reply) {
	if n, ok := Backlog(client.Notice{Code: notice.Code, Text: notice.Text}); ok && s.live {
		s.old = n
	}
}

// Backlog returns how many bytes of a stream are from before it, if the notice says so. Otherwise a
// protocol.CodeMessage is a message of the operator.
func Backlog(n client.Notice) (size int, ok bool) {
	text, ok := strings.CutPrefix(n.Text, "backlog ")
	size, err := strconv.Atoi(text)
	return size, ok && n.Code == protocol.CodeMessage && err == nil && size > 0
}

func (s *Stream) isJoined() bool {
	select {
	case <-s.joined:
		return true
	default:
		return false
	}
}

func (s *Stream) receivePiece(text string, r *protocol.Reader) error {
	n, err := piece.ParseHeader(text)
	if err != nil || s.ended {
		return fmt.Errorf("%w: 151 %s", errPiece, text)
	}
	if s.ended = n == 0; s.ended {
		s.unread.end(io.EOF)
	}
	s.begun = true
	if old := min(n, s.old); old > 0 {
		if _, err := io.CopyN(io.Discard, r, int64(old)); err != nil {
			return err
		}
		s.old, n = s.old-old, n-old
	}
	for left := n; left > 0; {
		room, err := s.unread.room(left)
		if err != nil {
			return err
		}
		got, err := r.Read(room)
		s.unread.fill(got)
		if left -= got; err != nil && left > 0 {
			return err
		}
	}
	return nil
}

// finish takes the final reply. The server discards pieces until the client's direction has ended, so ABORT
// goes out before any other request can. Where the server had no stream to discard pieces for, it ignores that.
func (s *Stream) finish(reply protocol.Reply) error {
	<-s.sending
	defer func() { s.sending <- struct{}{} }()
	s.answered = true
	if !s.finished && (s.isJoined() || reply.Code == protocol.CodeFailed) {
		s.client.Send(line(protocol.VerbAbort))
	}
	if reply.Code.Failure() {
		return nil
	}
	var err error
	if s.in, s.out, err = piece.ParseClosed(reply.Text); err != nil || s.in > s.window.total() {
		return fmt.Errorf("%w: 250 %s", errPiece, reply.Text)
	}
	return nil
}

// Wait returns when the stream is over: how many bytes the backend took and gave, or why the stream failed. The
// Client takes requests again then, unless the error ended the connection. If ctx ends first, Wait returns its
// error, and the stream goes on.
func (s *Stream) Wait(ctx context.Context) (in, out int64, err error) {
	select {
	case <-s.over:
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	if s.err != ErrOver {
		return 0, 0, s.err
	}
	return s.in, s.out, nil
}

// acquire takes the token for sending. It fails when the stream is over.
func (s *Stream) acquire(ctx context.Context) error {
	select {
	case <-s.sending:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.over:
		return s.err
	}
	if s.answered {
		s.release()
		<-s.over
		return s.err
	}
	select {
	case <-s.over: // without a final reply
		s.release()
		return s.err
	default:
		return nil
	}
}

func (s *Stream) release() { s.sending <- struct{}{} }

// CloseWrite ends the client's direction. The backend is sent a half-close, if it knows one. What it says after that
// can still be read.
func (s *Stream) CloseWrite() error { return s.last(protocol.VerbData, &s.finished) }

// Abort ends the stream at once and resets the backend. Bytes that were not read are dropped, and Read returns
// ErrOver.
func (s *Stream) Abort() error {
	s.unread.drop()
	if s.watches {
		return s.last(protocol.VerbQuit, &s.aborted)
	}
	return s.last(protocol.VerbAbort, &s.aborted)
}

// last ends the client's direction, unless that was done or the stream has ended as asked.
func (s *Stream) last(verb string, done *bool) error {
	if err := s.acquire(context.Background()); err != nil {
		if err == ErrOver {
			return nil
		}
		return err
	}
	defer s.release()
	if !*done {
		*done, s.finished = true, true
		s.window.close()
		s.client.Send(line(verb))
	}
	return nil
}

// Break sends a break (250 ms) where the backend is a serial line. Other backends ignore it.
func (s *Stream) Break() error { return s.control(piece.Message{Verb: protocol.VerbBreak}) }

// Line sets speed and form of a backend that is a serial line, as in "9600,7E1". Other backends ignore it. It fails
// with protocol.ErrArgument if spec has not that form.
func (s *Stream) Line(spec string) error {
	speed, form, err := piece.ParseLine(spec)
	if err != nil {
		return err
	}
	return s.control(piece.Message{Verb: protocol.VerbLine, Speed: speed, Form: form})
}

// Window tells a backend that is a terminal its size. Other backends ignore it. It fails with protocol.ErrArgument
// if a number is not from 1 to 65,535.
func (s *Stream) Window(columns, rows int) error {
	if min(columns, rows) < 1 || max(columns, rows) > 65535 {
		return protocol.ErrArgument
	}
	return s.control(piece.Message{Verb: protocol.VerbWindow, Columns: columns, Rows: rows})
}

// control sends a line that has no reply. It can't follow the end of the client's direction, because the server
// could take it for a request after the stream.
func (s *Stream) control(m piece.Message) error {
	if err := s.acquire(context.Background()); err != nil {
		return err
	}
	defer s.release()
	if s.finished {
		return io.ErrClosedPipe
	}
	s.client.Send(m.Append(nil))
	return nil
}

func line(verb string) []byte { return piece.Message{Verb: verb}.Append(nil) }
