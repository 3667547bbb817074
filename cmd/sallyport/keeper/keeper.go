// Package keeper keeps a backend open between the streams of clients. [Keeper.Run] opens it, again and again after it
// has ended, and passes all that it says to a record, such as a [Log]. [Keeper.Open] fits server.Server.Backend: it
// returns a stream to the open backend, which begins with the last bytes that the backend has said. [Keeper.Watch] fits
// server.Server.Watch: its feed begins with the same bytes.
package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/sallyport/sallyport/server/watch"
)

const (
	// minPause and maxPause, or Options.MaxPause, bound the pause before the backend is opened again. It doubles each
	// time, until the backend has stayed open for steady.
	minPause = time.Second
	maxPause = time.Minute
	steady   = time.Minute
	// readSize is how much is read at once, so that a slow client can take it within patience.
	readSize = 16 << 10
)

// Errors of streams.
var (
	// ErrDown means that the backend is not open.
	ErrDown = errors.New("the backend is down")
	// ErrEnded means that the backend has ended during the stream.
	ErrEnded = errors.New("the backend has ended")
	errBusy  = errors.New("the backend has a stream already")
)

// Options are those of a Keeper. Open is required.
type Options struct {
	// Open opens the backend.
	Open func(ctx context.Context) (io.ReadWriteCloser, error)
	// Record gets all that the backend says, and LineEnd is called at its end. Nil means no record.
	Record Record
	// Backlog is how many of the last bytes a stream begins with. Zero means none.
	Backlog int
	// Watchers is the maximum number of watchers.
	Watchers int
	// MaxPause is the longest pause before the backend is opened again. It is at least 1 s. Zero means 1 min.
	MaxPause time.Duration
	// Speed and Form are those of a serial line, which it gets again after a stream that has changed them.
	Speed int
	Form  string
	// Log gets what the operator should know. Nil discards it.
	Log *slog.Logger
}

// Record is where a Keeper writes what the backend says. It reports its errors itself.
type Record interface {
	// Record writes what was said at that time.
	Record(p []byte, at time.Time)
	// LineEnd ends a line that is not complete.
	LineEnd()
}

// Keeper keeps a backend open.
type Keeper struct {
	options Options
	wanted  chan struct{} // gets a value when a client wants the backend, which ends a pause

	mu      sync.Mutex
	conn    io.ReadWriteCloser // nil: the backend is down
	tried   chan struct{}      // closed when the next attempt to open it has ended
	why     error              // of the last attempt, or of the end
	backlog ring
	crowd   watch.Crowd
	stream  *stream // nil: no client
}

// New returns a Keeper whose backend is not open before Run.
func New(o Options) *Keeper {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{
		options: o, wanted: make(chan struct{}, 1), tried: make(chan struct{}), why: ErrDown,
		backlog: ring{size: o.Backlog}, crowd: watch.Crowd{Max: o.Watchers},
	}
}

// Run keeps the backend open until ctx ends, and closes it.
func (k *Keeper) Run(ctx context.Context) {
	told, toldPause := "", time.Duration(0)
	for pause := minPause; ; {
		began := time.Now()
		err := k.keep(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) >= steady {
			pause = minPause
		}
		if err.Error() != told || pause != toldPause { // else the operator knows
			told, toldPause = err.Error(), pause
			k.options.Log.Warn("the backend is down: it is opened again", "error", err, "in", pause)
		}
		if k.rest(ctx, pause) { // clients that try while it is down don't make it longer
			pause = min(2*pause, cmp.Or(k.options.MaxPause, maxPause))
		}
	}
}

// rest waits for the pause, or until a client wants the backend. It reports whether the pause is over.
func (k *Keeper) rest(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-k.wanted:
	case <-ctx.Done():
	}
	return false
}

// keep opens the backend and reads it until it ends. It returns why.
func (k *Keeper) keep(ctx context.Context) error {
	conn, err := k.options.Open(ctx)
	k.opened(conn, err)
	if err != nil {
		return err
	}
	k.options.Log.Info("the backend is open")
	closing := sync.OnceFunc(func() { _ = conn.Close() })
	defer closing()
	defer context.AfterFunc(ctx, closing)()
	for buf := make([]byte, readSize); ; {
		n, err := conn.Read(buf)
		if n > 0 {
			k.heard(buf[:n])
		}
		if err != nil {
			k.ended(err)
			return err
		}
	}
}

// opened notes how an attempt to open the backend has ended.
func (k *Keeper) opened(conn io.ReadWriteCloser, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.wanted: // before this attempt
	default:
	}
	k.conn, k.why = conn, err
	if err == nil {
		k.crowd.Back()
	} else {
		k.crowd.Down()
	}
	close(k.tried)
	k.tried = make(chan struct{})
}

// ended notes that the backend has ended. Its stream ends behind what it has said.
func (k *Keeper) ended(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.options.Record != nil {
		k.options.Record.LineEnd()
	}
	k.conn, k.why = nil, err
	k.crowd.Down()
	if k.stream != nil {
		k.stream.end(err)
	}
}

// heard passes the output of the backend to the record, to watchers and to the client. Only the client can delay it,
// within limits.
func (k *Keeper) heard(p []byte) {
	if k.options.Record != nil {
		k.options.Record.Record(p, time.Now())
	}
	k.mu.Lock()
	k.backlog.add(p)
	k.crowd.Say(p)
	s := k.stream // a later one has p in its backlog
	k.mu.Unlock()
	if s != nil {
		s.offer(p)
	}
}

// Down returns why the backend is not open, and nil if it is.
func (k *Keeper) Down() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn != nil {
		return nil
	}
	return cmp.Or(k.why, ErrDown)
}

// Open returns a stream to the backend. If the backend is down, Open lets Run try at once, and waits for that.
func (k *Keeper) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	k.mu.Lock()
	conn, tried := k.conn, k.tried
	k.mu.Unlock()
	if conn == nil {
		select {
		case k.wanted <- struct{}{}:
		default:
		}
		select {
		case <-tried:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrDown, context.Cause(ctx))
		}
	}
	return k.attach()
}

func (k *Keeper) attach() (io.ReadWriteCloser, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.conn == nil:
		return nil, fmt.Errorf("%w: %w", ErrDown, k.why)
	case k.stream != nil:
		return nil, errBusy
	}
	k.stream = newStream(k, k.conn, k.backlog.bytes())
	return k.stream, nil
}

// Watch adds a watcher. The backend may be down.
func (k *Keeper) Watch(c watch.Client) (*watch.Feed, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.crowd.Join(c, k.backlog.bytes())
}

func (k *Keeper) detach() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stream = nil
}
