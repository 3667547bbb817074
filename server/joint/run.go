package joint

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/protocol/piece"
)

var (
	errDone  = errors.New("both directions have ended")
	errAbort = errors.New("the client has aborted the stream")
)

const (
	// lastWrite is the time to take what is written at the end.
	lastWrite = time.Second
	// quiet is how long a backend must be silent after the end to count as heard out, lastWords how long it may
	// take where the client has to go.
	quiet     = 20 * time.Millisecond
	lastWords = 500 * time.Millisecond
	// settle is how long BREAK and LINE wait until the backend has taken the bytes before them.
	settle = 250 * time.Millisecond
	// maxAnswers is about how many bytes of answers to PING are written at once.
	maxAnswers = 8 << 10
)

// run is a running stream.
type run struct {
	*Stream
	outer context.Context
	ctx   context.Context // of this stream: its cause is why it ends
	over  context.CancelCauseFunc

	queue *queue
	ended bool // the client has ended its direction
	rest  int  // bytes of the client's piece that are still to come

	refused []string // verbs that the backend has refused

	ends     atomic.Int32  // directions that have ended
	heard    atomic.Int64  // odd while a piece of the backend is on its way
	silent   chan struct{} // closed when the backend is read no more
	aborted  chan struct{} // closed when the client has aborted the stream
	released atomic.Bool   // the backend is closed
	closing  chan struct{} // closed with it

	turn     chan struct{} // holds a value while somebody writes to the client
	out      int64
	told     bool         // the last line to the client was sent
	pings    atomic.Int64 // that are not answered yet
	pinged   chan struct{}
	finished chan struct{} // closed when all else has ended
}

// Run runs the stream until it is over or ctx ends, and closes the backend.
func (s *Stream) Run(ctx context.Context) End {
	r := &run{
		Stream: s, queue: newQueue(),
		silent: make(chan struct{}), aborted: make(chan struct{}), closing: make(chan struct{}), pinged: make(chan struct{}, 1), turn: make(chan struct{}, 1), finished: make(chan struct{}),
	}
	ctx, cancel := context.WithCancelCause(ctx)
	r.outer = ctx
	r.ctx, r.over = context.WithCancelCause(ctx)
	var copies, teller, guard sync.WaitGroup
	guard.Go(func() { s.guard(ctx, cancel, nil) })
	guard.Go(func() { s.watchBackend(r.closing, r.finished) })
	r.start(&copies, r.toBackend)
	r.start(&copies, r.fromBackend)
	r.start(&copies, r.finish)
	r.start(&copies, r.lookForLate)
	r.start(&teller, r.tell)
	r.safely(r.fromClient)
	copies.Wait()
	close(r.finished)
	teller.Wait()
	cancel(io.EOF)
	guard.Wait()
	return r.end(context.Cause(r.ctx))
}

func (r *run) start(group *sync.WaitGroup, f func() error) { group.Go(func() { r.safely(f) }) }

// safely calls f, whose error ends the stream.
func (r *run) safely(f func() error) {
	if err := r.Safely(f); err != nil {
		r.over(err)
	}
}

func (r *run) end(cause error) End {
	end := End{Err: cause, In: r.queue.total(), Out: r.out, Ended: r.ended, Rest: r.rest}
	if fault, ok := cause.(clientEnd); ok {
		end.Err = fault.error
	}
	if end.Err == errDone || end.Err == errAbort {
		end.Err = nil
	}
	return end
}

// clientEnd is an end that comes from the client. The backend isn't heard out then.
type clientEnd struct{ error }

// finish ends the other goroutines when the stream is over.
func (r *run) finish() error {
	<-r.ctx.Done()
	cause := context.Cause(r.ctx)
	if r.outer.Err() != nil {
		r.queue.close() // the client has to go, and its bytes with it
	}
	if fault, ok := cause.(clientEnd); !ok {
		r.hearOut(cause == errDone)
	} else if fault.error != errAbort {
		r.hurry()
	}
	tell := sync.OnceFunc(func() {
		_ = r.sendOwed()
		_ = r.Safely(func() error { return r.tellLast(context.Cause(r.outer)) })
	})
	if r.outer.Err() != nil {
		tell()
	}
	r.released.Store(true)
	close(r.closing)
	stop := context.AfterFunc(r.outer, tell) // it may have to go while the backend is closed
	err := r.Safely(func() error { return r.release(cause) })
	if !stop() {
		tell() // or wait for it
	}
	r.queue.close()
	r.Client.Stop()
	return err
}

// tellLast tells a client that has to go why. Closing the backend may take longer than the client can be written to.
func (r *run) tellLast(cause error) error {
	return r.inTurn(func() error {
		r.told = true
		r.Last(End{Err: cause, In: r.queue.total(), Out: r.out})
		return nil
	})
}

// inTurn calls f, which writes to the client, when no other goroutine writes, unless the last line was sent.
func (r *run) inTurn(f func() error) error {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	if r.told {
		return errOver
	}
	return f()
}

// hearOut waits until the client has the rest of the backend's output. A backend that does not notice the end of the
// stream may never be silent, so complete bounds the wait.
func (r *run) hearOut(complete bool) {
	stop, late := r.outer.Done(), (<-chan time.Time)(nil)
	if complete {
		late = time.After(lastWords)
	}
	for before := r.heard.Load(); ; {
		select {
		case <-r.silent:
			return
		case <-r.aborted:
			return
		case <-stop:
			stop, late = nil, time.After(lastWords)
		case <-late:
			return
		case <-time.After(quiet):
			now := r.heard.Load()
			if now == before && now%2 == 0 {
				return
			}
			before = now
		}
	}
}

// release closes the backend, after a reset if the stream has not ended well.
func (r *run) release(cause error) error {
	if cause != errDone || r.isAborted() {
		defer r.calling()()
		switch b := r.Backend.(type) {
		case Resetter:
			_ = b.Reset()
		case interface{ SetLinger(sec int) error }: // *net.TCPConn
			_ = b.SetLinger(0)
		}
	}
	_ = r.close()
	return nil
}

// halfEnded notes that one direction has ended.
func (r *run) halfEnded() {
	if r.ends.Add(1) == 2 {
		r.over(errDone)
	}
}

// toBackend writes the client's bytes to the backend.
func (r *run) toBackend() error {
	for {
		p, more := r.queue.next()
		if !more {
			return r.endInput()
		}
		if p == nil {
			return nil
		}
		n, err := r.write(p)
		r.queue.took(n)
		if err != nil {
			r.queue.drop()
			return errors.Join(ErrBackend, err)
		}
	}
}

// endInput ends the client's direction.
func (r *run) endInput() error {
	switch err := r.closeWrite(); {
	case errors.Is(err, errors.ErrUnsupported):
		r.over(errDone)
	case err != nil:
		return errors.Join(ErrBackend, err)
	default:
		r.halfEnded()
	}
	return nil
}

// fromBackend writes the backend's bytes to the client. Header and bytes of a piece are written at once, and
// together fill TLS records.
func (r *run) fromBackend() error {
	defer close(r.silent)
	keeper, ok := r.Backend.(Keeper)
	kept := ok && keeper.Kept()
	buf := make([]byte, piece.Max)
	if err := r.giveBacklog(buf); err != nil {
		return err
	}
	for {
		n, err := r.read(buf[piece.MaxHeader:])
		r.heard.Add(1)
		if n > 0 {
			if !kept {
				r.Active()
			}
			if err := r.give(buf, n); err != nil {
				return err
			}
		}
		r.heard.Add(1)
		switch {
		case err == nil:
			continue
		case r.released.Load() && (context.Cause(r.ctx) != errDone || r.isAborted()):
			return nil
		case err != io.EOF && !r.released.Load():
			return errors.Join(ErrBackend, err)
		}
		err = r.give(buf, 0)
		r.halfEnded()
		return err
	}
}

// give writes a piece of n bytes, which begin at MaxHeader.
func (r *run) give(buf []byte, n int) error {
	return r.inTurn(func() error { return r.giveNow(buf, n) })
}

func (r *run) giveNow(buf []byte, n int) error {
	if n > 0 {
		if err := r.Passed("out", buf[piece.MaxHeader:][:n]); err != nil {
			return err
		}
	}
	var header [piece.MaxHeader]byte
	line := piece.AppendHeader(header[:0], n)
	start := piece.MaxHeader - copy(buf[piece.MaxHeader-len(line):], line)
	if err := r.Client.Send(buf[start : piece.MaxHeader+n]); err != nil {
		return clientEnd{err}
	}
	r.out += int64(n)
	return nil
}

// tell answers pings and writes notices.
func (r *run) tell() error {
	for {
		select {
		case <-r.pinged:
		case <-r.News:
		case <-r.finished:
			return r.sendOwed()
		}
		if err := r.sendOwed(); err != nil {
			return clientEnd{err}
		}
	}
}

func (r *run) sendOwed() error { return r.inTurn(r.sendOwedNow) }

func (r *run) sendOwedNow() error {
	for owed := r.pings.Swap(0); owed > 0; {
		var out []byte
		for ; owed > 0 && len(out) < maxAnswers; owed-- {
			out = piece.AppendTaken(out, r.queue.total())
		}
		if err := r.Client.Send(out); err != nil {
			return err
		}
	}
	return r.Client.Notify()
}
