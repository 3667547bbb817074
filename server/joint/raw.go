package joint

import (
	"context"
	"errors"
	"io"
	"sync"
)

const rawBuffer = 32 << 10

// raw is a raw stream. The client's goroutine copies to the backend, another goroutine copies from it.
type raw struct {
	*Stream
	over    context.CancelCauseFunc
	down    chan struct{} // closed when the backend's direction has ended
	tail    chan struct{} // closed when the client has ended its TCP direction
	in, out int64
}

// Raw runs a raw stream, for OPEN, and closes the backend. End.Err is io.EOF if both directions have ended.
func (s *Stream) Raw(ctx context.Context) End {
	ctx, over := context.WithCancelCause(ctx)
	r := &raw{Stream: s, over: over, down: make(chan struct{}), tail: make(chan struct{})}
	var guard, watch sync.WaitGroup
	released, done := make(chan struct{}), make(chan struct{})
	watch.Go(func() { s.watchBackend(released, done) })
	guard.Go(func() {
		s.guard(ctx, over, r.tail)
		close(released)
		_ = s.Safely(s.close)
		s.Client.Stop()
	})
	go func() {
		defer close(r.down)
		if err := s.Safely(r.fromBackend); err != nil {
			over(err)
		}
	}()
	err := s.Safely(r.toBackend)
	if errors.Is(err, io.EOF) {
		err = r.linger()
	}
	over(err)
	<-r.down
	guard.Wait()
	close(done)
	watch.Wait()
	return End{Err: context.Cause(ctx), In: r.in, Out: r.out}
}

// linger waits for the end of the backend's direction after the client has ended its TLS direction.
func (r *raw) linger() error {
	ended := make(chan error, 1)
	go func() { ended <- r.Safely(r.Client.Leave) }()
	select {
	case <-r.down:
		r.Client.Stop()
		<-ended
	case how := <-ended:
		if !errors.Is(how, io.EOF) {
			return how
		}
		close(r.tail)
		<-r.down
	}
	return io.EOF
}

// toBackend copies from the client to the backend. io.EOF is the client's half-close, which it passes on.
func (r *raw) toBackend() error {
	for buf := make([]byte, rawBuffer); ; {
		n, err := r.Client.Read(buf)
		if n > 0 {
			r.in += int64(n)
			r.Active()
			if err := r.Passed("in", buf[:n]); err != nil {
				return err
			}
			if _, err := r.write(buf[:n]); err != nil {
				return errors.Join(ErrBackend, err)
			}
		}
		if err == io.EOF {
			_ = r.closeWrite() // also where it is not possible the backend may have more to say
		}
		if err != nil {
			return err
		}
	}
}

// fromBackend copies from the backend to the client, and ends the client's input at its end.
func (r *raw) fromBackend() error {
	keeper, ok := r.Backend.(Keeper)
	kept := ok && keeper.Kept()
	for buf := make([]byte, rawBuffer); ; {
		n, err := r.read(buf)
		if n > 0 {
			r.out += int64(n)
			if !kept {
				r.Active()
			}
			if err := r.Passed("out", buf[:n]); err != nil {
				return err
			}
			if err := r.Client.Send(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			_ = r.Client.CloseWrite()
			return nil
		}
		if err != nil {
			return errors.Join(ErrBackend, err)
		}
	}
}
