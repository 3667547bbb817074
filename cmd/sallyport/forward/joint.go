package forward

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"
)

// streamer is what a joint needs of a stream.Stream.
type streamer interface {
	io.ReaderFrom
	io.WriterTo
	CloseWrite() error
	Abort() error
	End(error)
	Ping(ctx context.Context, active bool) (taken int64, err error)
	Wait(context.Context) (in, out int64, err error)
}

// joint joins a local connection to a stream.
type joint struct {
	local     *local
	stream    streamer
	lastWords time.Duration     // how long the program may take them
	reason    func(error) error // puts an error of the stream into words
	free      func()            // called when the seat is no longer needed

	up, down chan error // get why a direction has ended; nil after its sender has ended it
	over     chan final
	takes    chan int64 // gets how much the backend has taken

	why      error     // why the local connection fails, or nil
	by       time.Time // when it fails at the latest
	leftAt   time.Time // when the program was found to have left, or the backend was last asked after that
	in, out  int64     // bytes that the backend took and gave
	finished bool      // the stream has ended
	silent   bool      // nothing more comes for the local program
}

// final is how a stream ended.
type final struct {
	in, out int64
	err     error
}

// join serves a local connection until its stream has ended. When ctx ends, the program gets its last words and a
// reset, and the stream is left to Quit. It calls free when the seat is no longer needed, which may be before the
// program has read everything.
func (s *Seat) join(ctx context.Context, l *local, free func()) (*joint, error) {
	j := newJoint(l)
	j.lastWords, j.reason, j.free = s.lastWords, s.failed, free
	opened, err := s.open(ctx)
	if err != nil {
		_ = l.Close()
		return j, err
	}
	s.with(l)
	defer s.with(nil)
	j.begin(opened, func() { s.forget(opened) })
	return j, j.run(ctx)
}

func newJoint(l *local) *joint {
	return &joint{
		local: l, up: make(chan error, 1), down: make(chan error, 1), over: make(chan final, 1), takes: make(chan int64, 1),
	}
}

// begin carries bytes both ways. It calls ended when the stream has ended.
func (j *joint) begin(s streamer, ended func()) {
	j.stream = s
	go func() {
		var f final
		f.in, f.out, f.err = s.Wait(context.Background())
		ended()
		f.err = j.reason(f.err)
		j.over <- f
	}()
	go j.send()
	go j.receive(j.local)
}

// send carries what the program says to the backend.
func (j *joint) send() {
	_, err := j.stream.ReadFrom(j.local)
	if err == nil {
		err = j.stream.CloseWrite()
	}
	j.up <- err
}

// receive carries what the backend says to the program.
func (j *joint) receive(to io.Writer) {
	_, err := j.stream.WriteTo(to)
	j.down <- err
}

// run waits for the end of both directions and of the stream, and closes the local connection.
func (j *joint) run(ctx context.Context) error {
	looks := time.NewTicker(lookEvery)
	defer looks.Stop()
	for lost := ctx.Done(); !j.silent || !j.finished && lost != nil; {
		select {
		case err := <-j.up:
			if _, ofLocal := errors.AsType[localError](err); ofLocal {
				j.abort(err)
			}
		case err := <-j.down:
			j.heard(err)
		case f := <-j.over:
			j.ended(f)
		case <-lost:
			lost = nil
			j.fail(context.Cause(ctx))
			j.stream.End(j.why)
		case <-looks.C:
			j.look(ctx)
		case taken := <-j.takes:
			j.took(taken)
		}
	}
	if j.why != nil {
		j.local.reset(j.by)
		return j.why
	}
	j.local.end()
	return nil
}

// heard handles the end of what the backend says. Where the program has ended its direction too, the end waits for
// that of the stream, which may say that the backend did not take everything.
func (j *joint) heard(err error) {
	_, ofLocal := errors.AsType[localError](err)
	switch {
	case ofLocal && j.why == nil && errors.Is(err, syscall.ECONNRESET):
		j.abort(err)
	case ofLocal && j.why == nil: // it has left in order (EPIPE), and the backend may still work on what it sent
		go j.receive(io.Discard)
		return
	case err != nil:
		j.fail(j.reason(err))
	case !j.local.ended.Load():
		_ = j.local.CloseWrite()
	}
	j.silent = true
}

// ended handles the end of the stream.
func (j *joint) ended(f final) {
	j.finished, j.in, j.out = true, f.in, f.out
	if f.err != nil {
		j.fail(f.err)
		return
	}
	j.free()
}

// look looks whether the program has left. The backend may go on as long as it takes what the program sent, and then
// has some time to end. The program may have left in order, though the connection looks broken: what the backend said
// after that was answered with a reset. When both directions of a connection have ended, its kernel tells no more.
func (j *joint) look(ctx context.Context) {
	if j.finished || j.silent || j.why != nil {
		return
	}
	switch was := lookAt(j.local.Conn); {
	case was < closed:
	case j.leftAt.IsZero():
		j.leftAt = time.Now()
	case time.Since(j.leftAt) > grace:
		j.leftAt = time.Now()
		go func() {
			if taken, err := j.stream.Ping(ctx, false); err == nil {
				j.takes <- taken
			}
		}()
	}
}

// took ends the stream of a program that has left if the backend has taken nothing since the last call.
func (j *joint) took(taken int64) {
	if taken == j.in && j.why == nil {
		j.abort(errLeft)
	}
	j.in = taken
}

// abort resets the backend, because of the program.
func (j *joint) abort(why error) {
	j.fail(why)
	j.by = time.Time{}
	go func() { _ = j.stream.Abort() }() // which may wait for the network
}

// fail bounds how long the program may take what the backend has said.
func (j *joint) fail(why error) {
	if j.why == nil {
		j.why, j.by = why, time.Now().Add(j.lastWords)
		_ = j.local.SetWriteDeadline(j.by)
	}
}
