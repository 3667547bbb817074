package fleet

import (
	"context"
	"time"
)

const (
	// retry is the time between two attempts while etcd is away.
	retry = time.Second
	// writeEvery bounds the writes of a gate. The latest state is owed.
	writeEvery = 500 * time.Millisecond
	// leaveTime bounds the last calls to etcd.
	leaveTime = time.Second
)

// writer calls a function that writes changes.
type writer struct {
	news   chan struct{}
	cancel context.CancelFunc
	done   chan struct{}
}

// startWriter calls write now, after each Changed, and once in every, but at most twice a second. After an error it
// calls write again after the pause again. It calls tell with the first error, and with nil when write succeeds again.
func (f *Fleet) startWriter(every, again time.Duration, write func(context.Context) error, tell func(error)) *writer {
	ctx, cancel := context.WithCancel(f.etcd.Ctx())
	w := &writer{make(chan struct{}, 1), cancel, make(chan struct{})}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for failed := false; ctx.Err() == nil; {
			pause, err := writeEvery, write(ctx)
			if (err != nil) != failed && ctx.Err() == nil {
				failed = err != nil
				tell(err)
			}
			if err != nil {
				pause = again
				w.Changed()
			}
			sleep(ctx, pause)
			select {
			case <-ctx.Done():
			case <-tick.C:
			case <-w.news:
			}
		}
	}()
	return w
}

// Changed reports that there is something to write. It never blocks.
func (w *writer) Changed() { signal(w.news) }

// stop ends the writes.
func (w *writer) stop() {
	w.cancel()
	<-w.done
}
